"""The smallest configuration that takes mail: one listener, one Maildir."""
SCRIPT = '''require ["envelope", "vnd.gatepost.mta"];
stage "rcpt" { if envelope :domain "to" "example.org" { deliver "here"; } }
'''
CONF = '''hostname = "mx.test"
spool = "spool"
workers = %(workers)d
dns { enabled = no }
listener mx { address = "127.0.0.1:%(port)d" script = "mx.sieve" }
next_hop here { maildir = "mail/%%d/%%n" }
'''
