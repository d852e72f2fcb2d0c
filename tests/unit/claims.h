/* A machine's and a LAN's name that the test holds, in a home of its own. */
#ifndef TORPOR_TESTS_CLAIMS_H
#define TORPOR_TESTS_CLAIMS_H

/* Make the home, and claim `name` for both. */
void claims_begin(const char *name);
/* Release both, and remove the home. */
void claims_end(void);

#endif
