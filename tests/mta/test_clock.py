"""The test clock itself: its answer must not come before the time has passed, however busy the loop is."""
import threading

from gp.actors import Hop
from gp.server import Gatepost, free_port
from gp.smtp import Smtp

SCRIPT = 'require ["envelope", "vnd.gatepost.mta"];\nstage "rcpt" { if envelope :domain "to" "example.org" { deliver "hop"; } }\n'
CONF = '''hostname = "mx.test"
spool = "%s/spool"
workers = 1
dns { enabled = false }
next_hop hop { lmtp = "%s" }
listener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" }
'''


def test_a_command_after_the_answer_sees_the_new_time(folder):
    """Each NOOP begins the five minutes anew: with 160 s between them none may time out, though others keep the loop at work."""
    hop, port = Hop('hop', folder, lmtp=True), free_port()
    with Gatepost(folder, {'gatepost.conf': CONF % (folder, hop.endpoint, port), 'mx.sieve': SCRIPT}, clock=True) as server:
        done, failures, sessions = threading.Event(), [], []

        def visit():
            """Comes and goes.  Two steps of the clock while it is there are a time-out, rightly: it may be told 421 and cut off."""
            while not done.is_set():
                told = []
                try:
                    with Smtp(port, greet=False) as c:
                        told.append(c.reply()[0])
                        for line in 'EHLO b.test', 'QUIT':
                            c.send(line + '\r\n')
                            told.append(c.reply()[0])
                except ConnectionError:
                    pass
                if told == [220, 250, 221]:
                    sessions.append(told)
                elif not set(told) <= {220, 250, 421, None}:
                    failures.append(told)
        visitors = [threading.Thread(target=visit) for _ in range(3)]
        with Smtp(port) as idle:
            idle.cmd('EHLO a.test', 250)
            for v in visitors:
                v.start()
            try:
                for _ in range(40):
                    server.advance(160)
                    idle.cmd('NOOP', 250)
            finally:
                done.set()
                for v in visitors:
                    v.join()
        assert not failures and sessions, failures
    hop.close()
