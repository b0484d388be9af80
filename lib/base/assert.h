/*
 * assert.h: claims about our own code, kept in release builds.  Never about what a peer sent.
 */
#ifndef GATEPOST_BASE_ASSERT_H
#define GATEPOST_BASE_ASSERT_H

void assert_failed(const char *file, int line, const char *claim) __attribute__((noreturn, cold));

#define ASSERT(claim) ((claim) ? (void)0 : assert_failed(__FILE__, __LINE__, #claim))

#endif
