/* What a user is told once, and never again. */
#ifndef TORPOR_CLI_NOTICE_H
#define TORPOR_CLI_NOTICE_H

/* A live appliance was written in clear: that it holds all of the guest's memory. For eyes only:
 * silent unless standard error is a terminal. */
void notice_memory(void);

#endif
