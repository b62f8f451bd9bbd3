"""`postern expire`: the end of messages and of mailboxes."""
