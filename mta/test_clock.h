/*
 * test_clock.h: a clock that tests move by command (builds with DEBUG=1 or SANITIZE=1 only).
 */
#ifndef GATEPOST_MTA_TEST_CLOCK_H
#define GATEPOST_MTA_TEST_CLOCK_H

/* If the environment names a socket in GATEPOST_TEST_CLOCK: time stands still in this worker from now on, and the socket takes "advance
 * MILLISECONDS" lines, each answered "ok" when every timer that came due has been fired.  For one worker.  Release builds
 * do nothing.  After run_init(). */
void test_clock_start(void);
void test_clock_stop(void);             /* before run_fini() */

#endif
