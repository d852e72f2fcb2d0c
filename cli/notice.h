/* What a user is told once, and never again. */
#ifndef TORPOR_CLI_NOTICE_H
#define TORPOR_CLI_NOTICE_H

/* A live appliance was written in clear: say that it holds all of the guest's memory. Nothing is
 * printed unless standard error is a terminal. */
void notice_memory(void);

#endif
