"""The relay's certificate: one pair of files that Postfix, Dovecot and nginx read.

`wanted` says from whom and for which names, `pair` reads and judges one, `selfsigned` makes one,
`certbot` gets one from an ACME server, `provision` puts it where the servers read it, and
`inspection` says what is wrong.
"""
