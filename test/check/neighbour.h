/* A disk that is always busy, on a worker that others share. */
#ifndef UVDPA_TEST_NEIGHBOUR_H
#define UVDPA_TEST_NEIGHBOUR_H

/* Starts it, with a driver of its own, until the process ends. Ends the process if it cannot. */
void neighbour_start(const char *worker);

#endif
