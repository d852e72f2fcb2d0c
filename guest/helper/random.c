/* See random.h. */
#include "guest/helper/random.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest/helper/sys.h"
#include "guest/reseed_seed.h"

long random_renew(int file)
{
	/* struct rand_pool_info with its bytes. */
	struct {
		int bits, len;
		unsigned char seed[RESEED_SEED_SIZE];
	} entropy = {.bits = RESEED_SEED_SIZE * 8, .len = RESEED_SEED_SIZE};
	long device, ret = SYS3(SYS_lseek, file, -RESEED_SEED_SIZE, SEEK_END);

	if (ret < 0)
		return ret;
	if (SYS3(SYS_read, file, entropy.seed, RESEED_SEED_SIZE) != RESEED_SEED_SIZE)
		return -EINVAL;
	device = SYS4(SYS_openat, AT_FDCWD, "/dev/urandom", O_WRONLY | O_CLOEXEC, 0);
	if (device < 0)
		return device;
	ret = SYS3(SYS_ioctl, device, RNDADDENTROPY, &entropy);
	if (ret == 0)
		ret = SYS3(SYS_ioctl, device, RNDRESEEDCRNG, 0);
	SYS1(SYS_close, device);
	return ret;
}
