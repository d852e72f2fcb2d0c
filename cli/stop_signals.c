/* See stop_signals.h. */
#include "cli/stop_signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGQUIT);
	sigaddset(set, SIGTERM);
}

static void *await_signal(void *opaque)
{
	struct stop_signals *stop = opaque;
	sigset_t set;
	int number;

	ending_signals(&set);
	if (sigwait(&set, &number) != 0)
		return NULL;
	stop->number = number;
	(void)signal(number, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	(void)eventfd_write(stop->fd, 1);
	for (;;)
		pause();
	return NULL;
}

int stop_signals_watch(struct stop_signals *stop, struct err *err)
{
	pthread_t thread;
	sigset_t set;
	int ret;

	stop->fd = eventfd(0, EFD_CLOEXEC);
	if (stop->fd < 0)
		return err_sys(err, errno, "eventfd");
	ending_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ret = pthread_create(&thread, NULL, await_signal, stop);
	if (ret != 0)
		return err_sys(err, ret, "thread");
	pthread_detach(thread);
	return 0;
}

void stop_signals_die(const struct stop_signals *stop)
{
	sigset_t set;
	int number = stop->number;

	if (number == 0)
		return;
	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	(void)raise(number);
}
