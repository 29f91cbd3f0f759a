/* Lanes: one request of a device at a time, in order. See fuse_internal.h. */
#include "export/fuse/fuse_internal.h"

void lane_init(struct lane *lane)
{
	pthread_mutex_init(&lane->lock, NULL);
	lane->busy = false;
	lane->first = NULL;
	lane->last = &lane->first;
}

bool lane_put(struct job *job)
{
	struct lane *lane = &job->node->lane;
	bool mine;

	job->next = NULL;
	pthread_mutex_lock(&lane->lock);
	mine = !lane->busy;
	lane->busy = true;
	if (!mine) {
		*lane->last = job;
		lane->last = &job->next;
	}
	pthread_mutex_unlock(&lane->lock);
	return mine;
}

/*
 * The next request to serve; NULL: there is none, and the lane is free. Then whoever stops the
 * export may see that, and the node is gone: nothing is looked at any more.
 */
static struct job *lane_next(struct node *node)
{
	struct lane *lane = &node->lane;
	struct job *job;

	pthread_mutex_lock(&lane->lock);
	job = lane->first;
	if (job) {
		lane->first = job->next;
		if (!lane->first)
			lane->last = &lane->first;
	} else {
		lane->busy = false;
	}
	pthread_mutex_unlock(&lane->lock);
	return job;
}

void lane_serve(struct job *job)
{
	struct node *node = job->node;

	while (job) {
		int step;

		atomic_store(&node->lane.step, LANE_SERVING);
		job_serve(job);
		step = atomic_exchange(&node->lane.step, LANE_PARKED);
		if (step == LANE_SERVING)
			return;
		if (step == LANE_ANSWERED)
			job = lane_next(node);
	}
}

void lane_again(struct job *job)
{
	if (atomic_exchange(&job->node->lane.step, LANE_AGAIN) == LANE_PARKED)
		executor_submit(job->node->export, job);
}

void lane_answered(struct node *node)
{
	struct job *job;

	if (atomic_exchange(&node->lane.step, LANE_ANSWERED) != LANE_PARKED)
		return; /* the thread that serves it goes on */
	job = lane_next(node);
	if (job)
		executor_submit(node->export, job);
}

bool lane_idle(struct lane *lane)
{
	bool idle;

	pthread_mutex_lock(&lane->lock);
	idle = !lane->busy;
	pthread_mutex_unlock(&lane->lock);
	return idle;
}
