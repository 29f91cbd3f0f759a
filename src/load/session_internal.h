/* What a network card has otherwise than a disk when it is made ready: for session.c. */
#ifndef UVDPA_LOAD_SESSION_INTERNAL_H
#define UVDPA_LOAD_SESSION_INTERNAL_H

#include "load/session.h"

/*
 * The features to ask for, with so many queue pairs. More than one are switched on by a command,
 * for which there has to be a control queue. A vhost-user back end that leaves that to its VMM has
 * an even number of queues, and more pairs are just used.
 */
uint64_t load_session_net_wanted(const struct load_session *session, unsigned pairs);

/* Whether the card has so many pairs. */
int load_session_net_check(const struct load_session *session, unsigned pairs, struct error *f);

/* Makes the control queue, and attaches it, where one is needed. */
int load_session_net_add_control(struct load_session *session, struct error *f);
/* Switches the pairs on, with DRIVER_OK set, where there is a control queue. */
int load_session_net_set_pairs(struct load_session *session, struct error *f);

#endif
