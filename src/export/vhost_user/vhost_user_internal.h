/*
 * For the vhost_user_*.c files only: an export, its client, and the verbs.
 *
 * Theory of operation
 * -------------------
 * The export's thread is the only one that touches `struct vu_client`, with one exception: the
 * answer of a verb that had to wait (struct vu_later) is filled in on whatever thread runs control
 * and announced through `wake`. While an answer is due, no further message is read.
 *
 *   front end            export's thread                      control
 *   GET_VRING_BASE  ---> set_vq_ready(off), later pending
 *                        (polls: socket for hang-up, wake)   the queue drains
 *                        <--------- wake --------------------- later.result
 *   reply           <--- finish()
 *
 * A vhost-user ring has two states of its own, and the core's queue is ready when both are true:
 *
 *   started   a kick descriptor was set (or an in-band kick came); until GET_VRING_BASE
 *   enabled   SET_VRING_ENABLE, or no protocol features were negotiated
 *
 * While no ring is started the device is suspended by its driver, as the protocol demands
 * ("suspended device state") and the contract defines (S2 to S6): GET_VRING_BASE of the last ring
 * takes the driver's hold, the next start gives it back. Without the STATUS feature the export
 * writes the status for the front end: DRIVER_OK at the first start.
 */
#ifndef UVDPA_EXPORT_VHOST_USER_VHOST_USER_INTERNAL_H
#define UVDPA_EXPORT_VHOST_USER_VHOST_USER_INTERNAL_H

#include <stdatomic.h>

#include "device/device.h"
#include "client/map.h"
#include "export/vhost_user/vhost_user.h"
#include "export/vhost_user/frame.h"
#include "export/vhost_user/memory.h"
#include "runtime/runtime.h"
#include "memory/dirty.h"
#include "util/unixname.h"

#define BIT(n) (1ull << (n))

/* A verb's result besides 0 and negative errnos: the answer comes through `later`. */
#define VU_LATER 1

struct vu_client;

/* An answer that control gives in its own time. `finish` runs on the export's thread. */
struct vu_later {
	_Atomic bool answered;
	int result;
	int (*finish)(struct vu_client *client, int result);
	struct vhost_user *export; /* whose wake to write */
};

struct vu_ring {
	struct vhost_vring_addr addr;
	uint16_t num;
	uint32_t base;
	int kick, call, err; /* ours; -1: none */
	bool has_addr, has_base, started, enabled;
	bool stopped;		       /* by GET_VRING_BASE; `base` is where it stood */
	bool kept;		       /* it could not be stopped: set up again, it goes on */
	bool polled;		       /* SET_VRING_KICK came to say that there will be no kicks */
	bool call_set;		       /* SET_VRING_CALL came, be it to say that there is none */
	bool inband_kick, inband_call; /* `kick` and `call` are eventfds that we made */
};

struct vu_client {
	struct vhost_user *export;
	int fd;
	char name[64];
	pid_t pid; /* 0: of a process that is not in our namespace */
	struct vu_frame frame;
	struct vu_out out;
	struct vu_later later;
	bool waiting;	     /* `later` is pending: read no further message */
	unsigned later_ring; /* which ring it is about */

	uint64_t features; /* SET_FEATURES */
	uint64_t protocol; /* SET_PROTOCOL_FEATURES */
	bool has_features;
	struct vu_memory *memory;
	struct vu_ring *rings;
	unsigned ring_count;

	struct client_map inflight; /* SET_INFLIGHT_FD: one record per queue */
	uint16_t inflight_queues, inflight_size;
	bool inflight_packed; /* its layout */
	uint64_t inflight_dev, inflight_ino, inflight_offset;
	struct client_map log; /* SET_LOG_BASE */
	struct dirty_log dirty;

	int load_fd;	  /* our end of a state that is being loaded; -1: none */
	bool transferred; /* CHECK_DEVICE_STATE is due */
	bool restored;	  /* a state of this client's was loaded */

	int backend_fd;	      /* our own channel to the front end; -1: none */
	struct vu_out notice; /* what goes out there */
	bool config_due;      /* a change is still to be told */
	uint64_t calls_due;   /* in-band calls still to be sent: bit per ring */
	uint64_t errors_due;  /* in-band errors, likewise */
	bool logged_broken;

	struct error err; /* why the present message failed */
};

struct vhost_user {
	struct runtime *runtime;
	struct device *device; /* used under runtime_lock */
	char *path;
	bool client_mode;
	uint32_t reconnect_ms;
	uint64_t accept_after_ms; /* nobody is let in before; 0: at once */
	uint64_t next_attempt_ms; /* client mode */
	int said_error;		  /* client mode: why there was no connection, as last said */
	mode_t mode;
	gid_t gid;
	int listen_fd;
	struct unixname name; /* of the listener */
	int wake;	      /* eventfd: an answer is there, or stop */
	int config_fd;	      /* eventfd: the device changed its config space */
	_Atomic bool stopping;
	struct vu_client *current;
	pid_t last_pid;		/* of who connected last */
	struct owner_wait wait; /* before somebody is let in: others may be leaving */
	bool expecting;		/* `wait` waits: who comes is in the backlog */
	_Atomic bool settled;	/* it is over */
	struct vu_later gone;	/* the reset for a client that left */
	struct vu_client *leaving;
	unsigned long thread;
};

/* --- vhost_user_verbs.c ----------------------------------------------------------------------- */
/* Protocol features that we speak. */
uint64_t vu_protocol_features(const struct vu_client *client);
/*
 * Runs the message in client->frame. 0: done, with the answer (if any) in client->out; VU_LATER;
 * negative errno: hang up (client->fault says why).
 */
int vu_handle(struct vu_client *client);
/* The pending verb was answered: makes its reply. As vu_handle. */
int vu_finish(struct vu_client *client);
/* Tells the device how this front end's protocol differs from vhost-vdpa's. */
void vu_set_export_rules(struct vu_client *client);
static inline bool vu_has(const struct vu_client *client, unsigned protocol_feature)
{
	return client->protocol & BIT(protocol_feature);
}
/* Prepares for an answer through `later`; what is returned is for device verbs to take. */
void vu_later_begin(struct vu_client *client, int (*finish)(struct vu_client *, int));
void vu_later_done(void *later, int result);

/* --- vhost_user_rings.c ----------------------------------------------------------------------- */
int vu_set_vring_num(struct vu_client *client, struct vu_message *message);
int vu_set_vring_addr(struct vu_client *client, struct vu_message *message);
int vu_set_vring_base(struct vu_client *client, struct vu_message *message);
int vu_get_vring_base(struct vu_client *client, struct vu_message *message);
int vu_set_vring_kick(struct vu_client *client, struct vu_message *message);
int vu_set_vring_call(struct vu_client *client, struct vu_message *message);
int vu_set_vring_err(struct vu_client *client, struct vu_message *message);
int vu_set_vring_enable(struct vu_client *client, struct vu_message *message);
int vu_vring_kick(struct vu_client *client, struct vu_message *message);
int vu_rings_new(struct vu_client *client, unsigned count);
void vu_rings_free(struct vu_client *client);
/* After a reset of the device: every ring is stopped, and disabled unless enabling is implied. */
void vu_rings_reset(struct vu_client *client);
bool vu_rings_any_started(const struct vu_client *client);
/* Enables every ring (SET_FEATURES without protocol features). */
int vu_rings_enable_all(struct vu_client *client);
/* Signals every err descriptor, or notes that a message is due instead: the device broke. */
void vu_rings_signal_error(struct vu_client *client);

/* --- vhost_user_inflight.c, vhost_user_log.c -----------------------------------------------------
 */
int vu_get_inflight_fd(struct vu_client *client, struct vu_message *message);
int vu_set_inflight_fd(struct vu_client *client, struct vu_message *message);
/* Gives the core's queue its record, if there is one. */
int vu_inflight_attach(struct vu_client *client, unsigned index);
/* The driver reset the device: nothing is in flight. */
void vu_inflight_reset(struct vu_client *client);
/* One queue's record is empty again: its driver reset that queue. It is not started. */
void vu_inflight_forget(struct vu_client *client, unsigned index);

int vu_set_log_base(struct vu_client *client, struct vu_message *message);
/* Log, features or a ring's flags changed. */
void vu_log_apply(struct vu_client *client);
void vu_log_apply_ring(struct vu_client *client, unsigned index);
/* Says so if marks were lost. */
void vu_log_report(struct vu_client *client);

/* --- vhost_user_state.c -----------------------------------------------------------------------
 */
int vu_set_device_state_fd(struct vu_client *client, struct vu_message *message);
int vu_check_device_state(struct vu_client *client, struct vu_message *message);
/* Closes what a transfer left open. */
void vu_state_forget(struct vu_client *client);

/* --- vhost_user_status.c ---------------------------------------------------------------------- */
int vu_get_features(struct vu_client *client, struct vu_message *message);
int vu_set_features(struct vu_client *client, struct vu_message *message);
int vu_get_status(struct vu_client *client, struct vu_message *message);
int vu_set_status(struct vu_client *client, struct vu_message *message);
int vu_reset_device(struct vu_client *client, struct vu_message *message);
/* Gives the device features and DRIVER_OK, unless the front end does that itself. */
int vu_start_device(struct vu_client *client);

/* --- vhost_user_notify.c ---------------------------------------------------------------------- */
int vu_set_backend_req_fd(struct vu_client *client, struct vu_message *message);
/* Sends what is due on the back end's channel, as far as it goes. */
void vu_notify(struct vu_client *client);
bool vu_notify_pending(const struct vu_client *client);
void vu_notify_close(struct vu_client *client);

/* --- vhost_user_client.c: from hello to goodbye ------------------------------------------------
 */
/* Takes `fd` over. NULL: turned away or out of memory; said in the log. */
struct vu_client *vu_client_new(struct vhost_user *export, int fd);
/* Begins the end: hangs up and has the device reset. export->leaving is set until it is over. */
void vu_client_leave(struct vhost_user *export, const char *why);
/* export->gone was answered. */
void vu_client_left(struct vhost_user *export);
/* Reads and runs messages until there is nothing to do. False: the client has to go. */
bool vu_client_read(struct vu_client *client, struct error *why);
/* Goes on with an answer that is going out. Likewise. */
bool vu_client_write(struct vu_client *client, struct error *why);

/* --- vhost_user_socket.c ---------------------------------------------------------------------- */
int vu_listen(struct vhost_user *export, struct error *err);
void vu_unlisten(struct vhost_user *export);

#endif
