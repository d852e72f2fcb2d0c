/* What the host puts behind the bytes of the helper when it renews a guest's random numbers (reseed.h). No function
 * here needs a library, because the helper has none. */
#ifndef TORPOR_GUEST_RESEED_SEED_H
#define TORPOR_GUEST_RESEED_SEED_H

#define RESEED_SEED_SIZE 64

#endif
