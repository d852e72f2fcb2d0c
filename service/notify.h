/*
 * What a service tells the one who started it: sd_notify(3)'s protocol, a datagram for each message
 * to the socket that NOTIFY_SOCKET names. Nobody listens where that is not set. Any thread; nothing
 * fails, and nobody is waited for: a message that does not arrive is lost.
 */
#ifndef TORPOR_SERVICE_NOTIFY_H
#define TORPOR_SERVICE_NOTIFY_H

/* Assignments, one a line, as "READY=1\nSTATUS=…". */
void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
