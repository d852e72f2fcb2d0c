/* What a fork takes that nothing can avoid: of a process with MIB of private memory, of which DATA_MIB are
 * in use, in huge pages where the kernel gives them. Prints milliseconds, a line for each of ROUNDS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	size_t size = (size_t)atol(argv[1]) << 20, data = (size_t)atol(argv[2]) << 20;
	int rounds = atoi(argv[3]);
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)argc;
	if (memory == MAP_FAILED)
		return 1;
	madvise(memory, size, MADV_HUGEPAGE);
	memset(memory, 1, data);
	for (int i = 0; i < rounds; i++) {
		double start = now();
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		printf("%.3f\n", now() - start);
		waitpid(child, NULL, 0);
		memset(memory, i, data); /* it is ours alone again */
	}
	return 0;
}
