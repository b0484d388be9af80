"""Where gatepost answers otherwise than Postfix, and why: (cases, keys, reason)."""
import re

REASONS = [(re.compile(cases), set(keys), reason) for cases, keys, reason in [
    ('inline-list', ['user', 'USER', 'example.org', 'exit code'],
     'A plain list is ours: Postfix refuses an inline: table whose entries have no "=".'),
    ('debug', ['user', 'USER', 'exit code'],
     "debug: is of Postfix 3.11, and Debian's is older."),
    ('inline-braces', ['user', 'USER', 'a b', 'example.org', 'exit code'],
     'Between braces a key may have blanks: Postfix refuses the whole table.'),
    ('inline-equals', ['user', 'USER', 'a b', 'exit code'],
     'Between braces a key may have blanks: Postfix refuses the whole table.'),
    ('regexp-backslash-at-end', ['user@example.org', 'USER@EXAMPLE.ORG', 'User@Example.Org', 'exit code'],
     'A backslash that ends the line ends the expression for Postfix, which then takes all that is before it: a closing delimiter is missing.'),
]]
