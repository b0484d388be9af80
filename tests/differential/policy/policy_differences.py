"""Where gatepost means to differ from Postfix 3.7: name: (what is not compared: heard asked got, why)."""
SESSION = 'EHLO is answered, and MAIL refused with the same words, as with a milter (M34); a greeting is 220, 421 or 554 (RFC 5321 section 4.3.2)'
LOCAL = 'a local part goes on as it was typed, quotes included'
FILTER = 'a text that names no next hop would let the message go unfiltered: 451 4.3.5, until somebody has looked; Postfix logs it and sends'
COPIES = 'asked at each recipient: Postfix sends as many copies, we send one'
RESTRICTION = 'restrictions are not run: 451 4.3.5, and the log says what stands for them in a script'

DIFFERENT = {
    'refused at connect': ('heard', SESSION), 'deferred at connect': ('heard', SESSION),
    'refused at helo': ('heard asked got', SESSION), 'refused at helo, another helo': ('heard asked got', SESSION),
    'quoted local parts': ('got', LOCAL),
    'local part with a percent sign': ('heard asked got', 'a percent sign is one: the next hop knows whether it means a route; Postfix refuses such addresses'),
    'smtputf8, not said': ('heard asked got', 'an address that is not ASCII needs SMTPUTF8 (RFC 6531 section 3.5)'),
    'bdat, refused at data': ('heard', 'a chunk after a refused one is answered as that one was'),
    'no hello': ('heard asked got', 'MAIL without EHLO or HELO is refused'),
    'a dot at the end': ('asked', 'a domain is the same without the dot at its end, and told without it'),
    'rcpt: BCC copy@example.test': ('got', COPIES),
    **{'%s: FILTER no-colon' % stage: (what, FILTER) for stage, what in
       (('rcpt', 'heard asked got'), ('mail', 'heard asked got'), ('data', 'heard asked got'), ('end-of-message', 'heard got'))},
    'rcpt: blank before the word': ('heard', 'a blank there changes nothing; Postfix takes all of it for restrictions'),
    'rcpt: blanks at the end': ('heard', 'blanks at the end of a text are no part of it'),
    'rcpt: text of 2000': ('heard', 'a reply line is 512 octets (RFC 5321 section 4.5.3.1.5): Postfix 3.7 means to cut it at 510, and does not'),
    'rcpt: field of 2000': ('got', 'a field is not cut; the LMTP client of Postfix breaks its line at 998 octets, we pass it on'),
    'rcpt: spaces around =': ('asked', 'nonsense is not asked for twice (P4)'),
    'rcpt only: permit, reject': ('heard asked got', RESTRICTION),
    'refused at its end, then the next': ('heard asked', 'a message that was refused is over; Postfix stays in its transaction, and adds to it'),
}
