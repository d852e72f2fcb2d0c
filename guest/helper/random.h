/* The random numbers of the guest's kernel. */
#ifndef TORPOR_GUEST_HELPER_RANDOM_H
#define TORPOR_GUEST_HELPER_RANDOM_H

/* Mix in the last RESEED_SEED_SIZE bytes of the file (guest/reseed_seed.h), and draw from them from now on. Returns 0
 * or a negative errno: -EPERM without CAP_SYS_ADMIN, -EINVAL of a shorter file or of a kernel before 4.14. */
long random_renew(int file);

#endif
