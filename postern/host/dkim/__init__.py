"""The keys that sign outgoing mail (DKIM, RFC 6376): made, published, rotated.

`rotation` says which key is used when, `directory` keeps the files that OpenDKIM reads.
"""
