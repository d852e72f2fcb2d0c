/*
 * The floor of saving: one thread that hashes SIZE MiB of random memory with SHA-256, 1 MiB at a
 * time, writes it to FILE and syncs. Prints the milliseconds it took.
 *
 * Usage: hashwrite MIB FILE
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define STEP (1u << 20)

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int fill(uint8_t *p, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t got = getrandom(p + at, size - at, 0);

		if (got <= 0)
			return -1;
		at += (size_t)got;
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t size = (argc == 3 ? strtoull(argv[1], NULL, 10) : 0) << 20;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[32];
	double start;
	uint8_t *p;
	int fd;

	if (size == 0) {
		fprintf(stderr, "usage: hashwrite MIB FILE\n");
		return 2;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (p == MAP_FAILED || fd < 0 || fill(p, size) < 0) {
		perror("hashwrite");
		return 1;
	}
	start = now_ms();
	EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
	for (size_t at = 0; at < size; at += STEP) {
		EVP_DigestUpdate(ctx, p + at, STEP);
		if (write(fd, p + at, STEP) != (ssize_t)STEP) {
			perror("hashwrite: write");
			return 1;
		}
	}
	EVP_DigestFinal_ex(ctx, digest, NULL);
	printf("%.1f\n", now_ms() - start);
	EVP_MD_CTX_free(ctx);
	return 0;
}
