/* The eventfds and poll fds of a running device: who watches them, who writes them. */
#include "runtime/runtime_internal.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/eventfd.h"
#include "util/log.h"

void binding_init(struct runtime *runtime)
{
	for (unsigned i = 0; i < DEVICE_MAX_QUEUES; i++) {
		runtime->kick[i] = -1;
		runtime->poll_fd[i] = -1;
		notifier_init(&runtime->call[i]);
	}
	runtime->config_call = -1;
}

static void unbind_kick(struct runtime *runtime, unsigned queue)
{
	int *kick = &runtime->kick[queue];

	if (*kick < 0)
		return;
	/* the client has the file open, too: closing our descriptor would not end the watch */
	group_unwatch(runtime_context(runtime, queue), *kick);
	close(*kick);
	*kick = -1;
}

/*
 * Watching reports a counter above 0 at once: that is the kick that the kernel gives at binding
 * (vhost_poll_start looks at the file's state), and how a kick made while unbound is found.
 */
int runtime_bind_kick(struct runtime *runtime, unsigned queue, int fd)
{
	int *kick = &runtime->kick[queue];
	int ret;

	if (fd < 0) {
		unbind_kick(runtime, queue);
		return 0;
	}
	ret = eventfd_check(fd);
	if (ret)
		goto refuse;
	if (*kick >= 0 && eventfd_same(*kick, fd)) {
		close(fd); /* the same file again changes nothing (vhost_vring_ioctl: eventfp) */
		return 0;
	}
	ret = group_watch(runtime_context(runtime, queue), fd, WORKER_EDGE,
			  context_token_kick(queue));
	if (ret)
		goto refuse;
	unbind_kick(runtime, queue);
	*kick = fd;
	return 0;
refuse:
	if (fd >= 0)
		close(fd);
	return ret;
}

/* A driver that polls for itself would look more often; one that merely cannot kick, less. */
#define POLL_NS 250000

void runtime_poll_kicks(struct runtime *runtime, unsigned queue, bool on)
{
	struct worker_context *context = runtime_context(runtime, queue);
	uint64_t bit = UINT64_C(1) << queue, before = atomic_load(&context->polled);
	uint64_t after = on ? before | bit : before & ~bit;
	const struct itimerspec when = {.it_interval.tv_nsec = after ? POLL_NS : 0,
					.it_value.tv_nsec = after ? POLL_NS : 0};

	/* only control writes it, so nothing is lost in between */
	atomic_store(&context->polled, after);
	if (!before != !after)
		timerfd_settime(context->tick, 0, &when, NULL);
}

void runtime_bind_call(struct runtime *runtime, unsigned queue, int fd)
{
	runtime_exclude_begin(runtime);
	notifier_bind(&runtime->call[queue], fd);
	runtime_exclude_end(runtime);
}

void runtime_bind_config_call(struct runtime *runtime, int fd)
{
	if (runtime->config_call >= 0)
		close(runtime->config_call);
	runtime->config_call = fd;
}

void binding_forget(struct runtime *runtime, bool everything)
{
	unsigned queues = device_get_vqs_count(runtime->device);

	runtime_exclude_begin(runtime);
	for (unsigned i = 0; i < queues; i++) {
		runtime_bind_call(runtime, i, -1);
		if (everything) {
			unbind_kick(runtime, i);
			runtime_poll_kicks(runtime, i, false);
		}
	}
	if (everything)
		runtime_bind_config_call(runtime, -1);
	runtime_exclude_end(runtime);
}

void binding_watch_queue(struct runtime *runtime, unsigned queue, bool started)
{
	struct worker_context *context = runtime_context(runtime, queue);
	bool edge = false;
	int fd = started ? device_queue_poll_fd(runtime->device, queue, &edge) : -1;
	int ret;

	if (runtime->poll_fd[queue] >= 0)
		group_unwatch(context, runtime->poll_fd[queue]);
	runtime->poll_fd[queue] = -1;
	if (fd < 0)
		return;
	ret = group_watch(context, fd, edge ? WORKER_EDGE : WORKER_LEVEL,
			  context_token_poll(queue));
	if (ret)
		log_error(device_name(runtime->device),
			  "queue %u: completions cannot be watched (error %d)", queue, -ret);
	else
		runtime->poll_fd[queue] = fd;
}
