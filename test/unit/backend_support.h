/* What the tests of block backends share: one request at a time, and a pattern to recognise. */
#ifndef UVDPA_TEST_BACKEND_SUPPORT_H
#define UVDPA_TEST_BACKEND_SUPPORT_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/backends.h"

#define PENDING 1 /* no result yet: results are 0 or negative */

struct job {
	struct block_request request;
	struct iovec iov[4];
	int result;
	unsigned calls;
};

static inline void job_done(struct block_request *request, int error)
{
	struct job *job = (struct job *)request;

	job->result = error;
	job->calls++;
}

static inline void job_submit(struct block_channel *channel, struct job *job, enum block_op op,
			      uint64_t offset, void *bytes, uint64_t length)
{
	bool durable = job->request.durable, unmap = job->request.unmap;

	job->request = (struct block_request){.op = op,
					      .durable = durable,
					      .unmap = unmap,
					      .offset = offset,
					      .length = length,
					      .done = job_done};
	if (bytes) {
		job->iov[0] = (struct iovec){bytes, length};
		job->request.iov = job->iov;
		job->request.iov_count = 1;
	}
	job->result = PENDING;
	job->calls = 0;
	block_submit(channel, &job->request);
}

/* An epoll set that tells of a channel's completions, as a worker's does; the caller closes it. */
static inline int watch_channel(struct block_channel *channel)
{
	struct epoll_event event = {EPOLLIN | (block_fd_edge(channel) ? EPOLLET : 0), {0}};
	int news = epoll_create1(EPOLL_CLOEXEC);

	if (block_fd(channel) >= 0 && epoll_ctl(news, EPOLL_CTL_ADD, block_fd(channel), &event))
		fail_msg("cannot watch a channel");
	return news;
}

/* Whether it is worth polling, now or after `ms` at most. */
static inline bool has_news(struct block_channel *channel, int news, int ms)
{
	struct epoll_event event;
	int n;

	if (block_needs_poll(channel))
		return true;
	do
		n = epoll_wait(news, &event, 1, ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Polls until the job is done; gives up (the job stays PENDING) after `ms` without news. */
static inline int job_wait(struct block_channel *channel, struct job *job, int ms)
{
	int news = watch_channel(channel);

	block_kick(channel);
	while (job->result == PENDING && has_news(channel, news, ms))
		block_poll(channel);
	close(news);
	return job->result;
}

/* One request, to its end. */
static inline int job_run(struct block_channel *channel, enum block_op op, uint64_t offset,
			  void *bytes, uint64_t length)
{
	struct job job = {0};

	job_submit(channel, &job, op, offset, bytes, length);
	if (job_wait(channel, &job, 10000) == PENDING)
		fail_msg("a request did not complete");
	assert_int_equal(job.calls, 1);
	return job.result;
}

/* A program whose test cannot run here says why and is counted as skipped. */
static inline void leave_skipped(const char *why)
{
	printf("skipped: %s\n", why);
	exit(77);
}

static inline void pattern(uint8_t *bytes, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8) + 1);
}

static inline bool all_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

#endif
