/* Request queues: one request of a device at a time, in order. See fuse_internal.h. */
#include "export/fuse/fuse_internal.h"

void fifo_init(struct fifo *fifo)
{
	pthread_mutex_init(&fifo->lock, NULL);
	fifo->busy = false;
	fifo->first = NULL;
	fifo->last = &fifo->first;
}

bool fifo_put(struct fuse_request *request)
{
	struct fifo *fifo = &request->node->fifo;
	bool mine;

	request->next = NULL;
	pthread_mutex_lock(&fifo->lock);
	mine = !fifo->busy;
	fifo->busy = true;
	if (!mine) {
		*fifo->last = request;
		fifo->last = &request->next;
	}
	pthread_mutex_unlock(&fifo->lock);
	return mine;
}

/*
 * The next request to serve; NULL: there is none, and the request queue is free. Then whoever stops
 * the export may see that, and the node is gone: nothing is looked at any more.
 */
static struct fuse_request *fifo_next(struct node *node)
{
	struct fifo *fifo = &node->fifo;
	struct fuse_request *request;

	pthread_mutex_lock(&fifo->lock);
	request = fifo->first;
	if (request) {
		fifo->first = request->next;
		if (!fifo->first)
			fifo->last = &fifo->first;
	} else {
		fifo->busy = false;
	}
	pthread_mutex_unlock(&fifo->lock);
	return request;
}

void fifo_serve(struct fuse_request *request)
{
	struct node *node = request->node;

	while (request) {
		int step;

		atomic_store(&node->fifo.step, FIFO_SERVING);
		request_serve(request);
		step = atomic_exchange(&node->fifo.step, FIFO_PARKED);
		if (step == FIFO_SERVING)
			return;
		if (step == FIFO_ANSWERED)
			request = fifo_next(node);
	}
}

void fifo_again(struct fuse_request *request)
{
	if (atomic_exchange(&request->node->fifo.step, FIFO_AGAIN) == FIFO_PARKED)
		executor_submit(request->node->export, request);
}

void fifo_answered(struct node *node)
{
	struct fuse_request *request;

	if (atomic_exchange(&node->fifo.step, FIFO_ANSWERED) != FIFO_PARKED)
		return; /* the thread that serves it goes on */
	request = fifo_next(node);
	if (request)
		executor_submit(node->export, request);
}

bool fifo_idle(struct fifo *fifo)
{
	bool idle;

	pthread_mutex_lock(&fifo->lock);
	idle = !fifo->busy;
	pthread_mutex_unlock(&fifo->lock);
	return idle;
}
