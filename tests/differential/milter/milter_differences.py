"""Where gatepost means to differ from Postfix, and why.  What is not listed here must be the same; what is listed must differ."""
import fnmatch
from functools import lru_cache

from milter_cases import CASES
from milter_sides import MODES, SETUPS

REASONS = {
    'back': 'The next transaction of the session has the filter back that failed in this one (B4); to Postfix it is lost for the session.',
    'starve': 'The filters behind one that failed go on (B2); Postfix tells them nothing more.',
    'quarantine': 'Quarantine does not end the chain (B1); Postfix tells later filters nothing.',
    'midst': 'A quarantine before the end of the message is an edit out of place: the filter has failed. Postfix silences all filters for the envelopes of '
             'the session.',
    'shutdown': '"shutdown" in the midst of the content is answered 421 (B16); Postfix 3.7 says 250 and loses the message.',
    'greeting': "A refusal of the session is given in the filter's own words, or ours with an enhanced code; Postfix greets with a stock text.",
    'action': 'Postfix 3.7 knows no default action "shutdown".',
    'unknown': 'An answer to an unknown command is about this command (B17); "accept" makes Postfix 3.7 panic at the next MAIL, "discard" is '
               'taken for the next message.',
    'refused': 'An unknown command is unknown (500), whatever was refused before.',
    'verb': 'An unknown command is shown whole, as Postfix does since 3.12.',
    'help': 'HELP is known.',
    'helo': 'MAIL without EHLO or HELO is refused.',
    'version 1': 'Version 1 is refused: no filter of today speaks it.',
    'negotiated': 'An edit that was not negotiated is refused, as the protocol says; Postfix obeys.',
    'nothing': 'Edits that make no sense are refused, 451; Postfix writes a header field without a name.',
    'together': "A filter's edits take effect together, with its verdict; Postfix keeps those of a filter that then fails.",
    'codes': 'A reply of two codes is nonsense; Postfix passes it on to the client.',
    'nul': 'A text without its NUL is a failure (B18); Postfix 3.7 sends what lies behind it in memory.',
    'braces': 'A macro asked for without its braces is sent with them.',
    'local part': 'An address is shown and delivered to as typed, quotes included.',
    'bytes': 'The message stays as it came, to the byte (B5): blanks before a colon, the empty line that is missing, a NUL in a header field (Postfix cuts '
             'the field there); Bcc, Return-Path and Content-Length (Postfix drops them).',
    'cut': 'No header field is cut (B5).',
    'stray': 'A CR before a LF in an edited value is no part of it, and a LF at its end adds no empty line; Postfix stores both.',
    'same once': 'A recipient that is there already is not added again; Postfix delivers twice (M30).',
    'refusals': 'A filter that wants refused recipients hears of all of them (B11).',
    'message': 'The script decides about a message when the filters have seen it; Postfix decides before them. After a refusal the transaction is over.',
    'denied': 'In a session that was refused nobody is asked any more; Postfix goes on telling the filters before the one that refused it.',
    'idle abort': 'A filter that was told of no transaction is not told that one ended.',
    'ahead': 'Content is sent without waiting for each answer. A filter that decides in the midst of it has heard more than it wanted; its connection '
             'ends, and the next transaction has a new one.',
    'no way back': 'A filter that heard DATA is begun anew when the client, refused, goes on with RCPT or DATA: libmilter reads such a command and never '
                   'answers, so with Postfix the client waits for a time-out.',
    'as sendmail': "Sendmail's: a filter's bare refusal is 554 with the content, a deferral 451 4.3.2; a changed header field keeps the spelling of its name.",
    'macros': "Macros are Sendmail's, or all that are known: see the table.",
}

POSTFIX, FULL, SENDMAIL, NOT_POSTFIX = ['postfix'], ['full'], ['sendmail'], ['sendmail', 'full']
DIFFERENT = [
    ('greeting', MODES, 'connect: reply 421', 'connect: shutdown'),
    ('back', MODES, '*: conn_fail', 'version 7', 'more actions than offered', 'negotiation *', 'symlist cut off', 'edit at *',
     'reply of a code alone', 'reply with a ?xx code', 'reply with no code', 'reply 550 with 4.x', 'reply of two codes',
     'reply without a NUL', 'extra bytes *'),
    ('shutdown', MODES, 'header: shutdown', 'eoh: shutdown', 'body: shutdown', 'eom: shutdown'),
    ('unknown', MODES, 'unknown: accept', 'unknown: discard', 'first of two accepts at unknown'),
    ('ahead', FULL, *('%s: %s' % (s, v) for s in ('header', 'eoh', 'body')
                      for v in ('accept', 'reject', 'tempfail', 'discard', 'reply 550', 'reply 451', 'reply 421', 'shutdown', 'conn_fail')),
     *('%s at %s' % (w, s) for w in ('second of three rejects', 'first of two accepts', 'edit') for s in ('header', 'eoh', 'body')),
     'header: skip', 'skip at header, twice'),
    ('no way back', FULL, 'data refused, then more'),
    ('version 1', MODES, 'version 1'),
    ('braces', POSTFIX, 'symlist without braces'),
    ('helo', MODES, 'mail without helo'),
    ('local part', MODES, 'odd paths'),
    ('local part', POSTFIX, 'rcpt deleted, without its needless quotes'),
    ('refusals', NOT_POSTFIX, 'recipient of bad syntax is told', 'too many recipients, told', 'a recipient the first refuses is told'),
    ('message', MODES, 'refused after the dot by the server'),
    ('denied', MODES, 'second of three rejects at connect', 'second of three rejects at helo'),
    ('verb', MODES, 'unknown command with arguments'),
    ('help', MODES, 'known commands that are no events'),
    ('bytes', MODES, 'header name with blank', 'no header, but text', 'header fields Postfix drops', 'header field with a NUL'),
    ('cut', MODES, 'header of 63000 bytes'),
    ('stray', MODES, 'add, CR LF', 'add, ends in LF'),
    ('nothing', MODES, 'add without a name'),
    ('same once', NOT_POSTFIX, 'rcpt added that is there'),
    ('negotiated', MODES, '*, not negotiated'),
    ('refused', MODES, 'refused at *, then everything', 'deferred at *, then everything'),
    ('idle abort', MODES, 'refused at helo, then everything', 'deferred at helo, then everything', 'second of three rejects at helo'),
    ('codes', MODES, 'reply of two codes'),
    ('nul', MODES, 'reply without a NUL'),
    ('quarantine', NOT_POSTFIX, 'quarantined', 'quarantined and accepted', 'edited and quarantined'),
    ('midst', MODES, 'quarantine at mail'),
    ('as sendmail', SENDMAIL, *('%s: %s' % (s, v) for s in ('header', 'eoh', 'body', 'eom') for v in ('reject', 'tempfail')),
     *('%s: tempfail' % s for s in ('connect', 'helo', 'mail', 'rcpt', 'data', 'unknown')), 'change respells the name', 'change second of a name',
     *('second of three rejects at %s' % s for s in ('header', 'eoh', 'body', 'eom')), 'edits then reject', 'quarantined and refused',
     'first edits, second rejects', 'second sees the header changed', 'deferred at helo, then everything'),
]


def failure(name, mode):
    """The reasons of the failure cases, which come from how a failure is taken."""
    action, gone = SETUPS[CASES[name]['setup']].action, SETUPS[CASES[name]['setup']].gone
    found = [] if gone else ['back']
    if action != 'accept':
        found.append('starve')
    if action == 'disconnect':
        found = ['action', 'starve']
    if name.startswith('closes after edits'):
        found.append('together')
    return found


@lru_cache(maxsize=None)
def reasons(name, mode):
    """The keys of the reasons for which this case may differ in this mode."""
    found = [key for key, modes, *globs in DIFFERENT if mode in modes and any(fnmatch.fnmatchcase(name, g) for g in globs)]
    if CASES[name]['setup'] not in ('one', 'two', 'three', 'panic one', 'panic two', 'local'):
        found += failure(name, mode)
    return found
