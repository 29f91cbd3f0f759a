/* What a service manager wants to know (sd_notify(3)), where there is one. */
#ifndef UVDPA_SERVE_NOTIFY_H
#define UVDPA_SERVE_NOTIFY_H

/* Sends `state` ("READY=1") to $NOTIFY_SOCKET. Without one, or if it is not there: nothing. */
void notify(const char *state);

#endif
