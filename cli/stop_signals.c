/* See stop_signals.h. */
#include "cli/stop_signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/end_signals.h"
#include "meter/meter.h"

static void *await_signal(void *opaque)
{
	struct stop_signals *stop = opaque;
	sigset_t set;
	int number;

	end_signals_set(&set);
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
	end_signals_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ret = pthread_create(&thread, NULL, await_signal, stop);
	if (ret != 0)
		return err_sys(err, ret, "thread");
	pthread_detach(thread);
	return 0;
}

void stop_signals_die(const struct stop_signals *stop, const char *verb, const char *cancelled)
{
	if (stop->number == 0)
		return;
	if (cancelled != NULL)
		meter_say_cancelled(verb, cancelled);
	end_signals_die(stop->number);
}
