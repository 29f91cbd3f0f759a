/* Request queues: one request of a device at a time, in order. See fuse_internal.h. */
#include "export/fuse/fuse_internal.h"

void fifo_init(struct fifo *fifo)
{
	pthread_mutex_init(&fifo->lock, NULL);
	fifo->busy = false;
	fifo->first = NULL;
	fifo->last = &fifo->first;
}

bool fifo_put(struct job *job)
{
	struct fifo *fifo = &job->node->fifo;
	bool mine;

	job->next = NULL;
	pthread_mutex_lock(&fifo->lock);
	mine = !fifo->busy;
	fifo->busy = true;
	if (!mine) {
		*fifo->last = job;
		fifo->last = &job->next;
	}
	pthread_mutex_unlock(&fifo->lock);
	return mine;
}

/*
 * The next request to serve; NULL: there is none, and the request queue is free. Then whoever stops
 * the export may see that, and the node is gone: nothing is looked at any more.
 */
static struct job *fifo_next(struct node *node)
{
	struct fifo *fifo = &node->fifo;
	struct job *job;

	pthread_mutex_lock(&fifo->lock);
	job = fifo->first;
	if (job) {
		fifo->first = job->next;
		if (!fifo->first)
			fifo->last = &fifo->first;
	} else {
		fifo->busy = false;
	}
	pthread_mutex_unlock(&fifo->lock);
	return job;
}

void fifo_serve(struct job *job)
{
	struct node *node = job->node;

	while (job) {
		int step;

		atomic_store(&node->fifo.step, FIFO_SERVING);
		job_serve(job);
		step = atomic_exchange(&node->fifo.step, FIFO_PARKED);
		if (step == FIFO_SERVING)
			return;
		if (step == FIFO_ANSWERED)
			job = fifo_next(node);
	}
}

void fifo_again(struct job *job)
{
	if (atomic_exchange(&job->node->fifo.step, FIFO_AGAIN) == FIFO_PARKED)
		executor_submit(job->node->export, job);
}

void fifo_answered(struct node *node)
{
	struct job *job;

	if (atomic_exchange(&node->fifo.step, FIFO_ANSWERED) != FIFO_PARKED)
		return; /* the thread that serves it goes on */
	job = fifo_next(node);
	if (job)
		executor_submit(node->export, job);
}

bool fifo_idle(struct fifo *fifo)
{
	bool idle;

	pthread_mutex_lock(&fifo->lock);
	idle = !fifo->busy;
	pthread_mutex_unlock(&fifo->lock);
	return idle;
}
