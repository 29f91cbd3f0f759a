/*
 * The vhost-vdpa uAPI as one table: from ioctl number to verb, and who may
 * call it. A number that is not in the table is answered as the kernel's vring
 * handler answers it, since that is where unknown numbers end there.
 */
#include "export/vdpa/vdpa.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "export/vdpa/vdpa_internal.h"
#include "runtime/eventfd.h"
#include "client/foreign.h"

/* Who may call, and what is looked at before the verb. */
enum rule {
	ANYBODY, /* device ioctls need no ownership (vhost_vdpa_unlocked_ioctl) */
	OWNER,	 /* the generic vhost layer's (vhost_dev_ioctl): EPERM for others */
	VRING,	 /* EPERM, then EFAULT and ENOBUFS by the index (vhost_vdpa_vring_ioctl) */
};

struct row {
	unsigned cmd;
	const char *name;
	enum rule rule;
	int (*run)(struct vdpa_file *file, struct call *call);
};

static int never(struct vdpa_file *file, struct call *call)
{
	return -ENOTTY;
}

#define ROW(name, rule, run)           \
	{                              \
		name, #name, rule, run \
	}

static const struct row table[] = {
	ROW(VHOST_VDPA_GET_DEVICE_ID, ANYBODY, vdpa_get_device_id),
	ROW(VHOST_VDPA_GET_STATUS, ANYBODY, vdpa_get_status),
	ROW(VHOST_VDPA_SET_STATUS, ANYBODY, vdpa_set_status),
	ROW(VHOST_VDPA_GET_CONFIG, ANYBODY, vdpa_get_config),
	ROW(VHOST_VDPA_SET_CONFIG, ANYBODY, vdpa_set_config),
	ROW(VHOST_GET_FEATURES, ANYBODY, vdpa_get_features),
	ROW(VHOST_SET_FEATURES, ANYBODY, vdpa_set_features),
	ROW(VHOST_GET_BACKEND_FEATURES, ANYBODY, vdpa_get_backend_features),
	ROW(VHOST_SET_BACKEND_FEATURES, ANYBODY, vdpa_set_backend_features),
	ROW(VHOST_VDPA_GET_VRING_NUM, ANYBODY, vdpa_get_vring_num),
	ROW(VHOST_VDPA_SET_CONFIG_CALL, ANYBODY, vdpa_set_config_call),
	ROW(VHOST_VDPA_GET_IOVA_RANGE, ANYBODY, vdpa_get_iova_range),
	ROW(VHOST_VDPA_GET_CONFIG_SIZE, ANYBODY, vdpa_get_config_size),
	ROW(VHOST_VDPA_GET_VQS_COUNT, ANYBODY, vdpa_get_vqs_count),
	ROW(VHOST_VDPA_GET_GROUP_NUM, ANYBODY, vdpa_get_group_num),
	ROW(VHOST_VDPA_GET_AS_NUM, ANYBODY, vdpa_get_as_num),
	ROW(VHOST_VDPA_SUSPEND, ANYBODY, vdpa_suspend),
	ROW(VHOST_VDPA_SUSPEND_V6, ANYBODY, vdpa_suspend_v6),
	ROW(VHOST_VDPA_RESUME, ANYBODY, vdpa_resume),
	/* No dirty logging on vhost-vdpa, whoever asks; but for log=on. */
	ROW(VHOST_SET_LOG_BASE, ANYBODY, vdpa_set_log_base),
	ROW(VHOST_SET_LOG_FD, ANYBODY, never),

	ROW(VHOST_SET_OWNER, ANYBODY, vdpa_set_owner),
	ROW(VHOST_SET_FORK_FROM_OWNER, ANYBODY, vdpa_set_fork_from_owner),
	ROW(VHOST_GET_FORK_FROM_OWNER, ANYBODY, vdpa_get_fork_from_owner),
	ROW(VHOST_SET_MEM_TABLE, OWNER, vdpa_set_mem_table),

	ROW(VHOST_SET_VRING_NUM, VRING, vdpa_set_vring_num),
	ROW(VHOST_SET_VRING_ADDR, VRING, vdpa_set_vring_addr),
	ROW(VHOST_SET_VRING_BASE, VRING, vdpa_set_vring_base),
	ROW(VHOST_GET_VRING_BASE, VRING, vdpa_get_vring_base),
	ROW(VHOST_SET_VRING_KICK, VRING, vdpa_set_vring_kick),
	ROW(VHOST_SET_VRING_CALL, VRING, vdpa_set_vring_call),
	ROW(VHOST_SET_VRING_ERR, VRING, vdpa_set_vring_err),
	/* Only with CONFIG_VHOST_CROSS_ENDIAN_LEGACY, which nobody sets here. */
	ROW(VHOST_SET_VRING_ENDIAN, VRING, never),
	ROW(VHOST_GET_VRING_ENDIAN, VRING, never),
	ROW(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, VRING, vdpa_set_vring_busyloop),
	ROW(VHOST_GET_VRING_BUSYLOOP_TIMEOUT, VRING, vdpa_get_vring_busyloop),
	ROW(VHOST_VDPA_SET_VRING_ENABLE, VRING, vdpa_set_vring_enable),
	ROW(VHOST_VDPA_GET_VRING_GROUP, VRING, vdpa_get_vring_group),
	ROW(VHOST_VDPA_GET_VRING_DESC_GROUP, VRING, vdpa_get_vring_desc_group),
	ROW(VHOST_VDPA_SET_GROUP_ASID, VRING, vdpa_set_group_asid),
	ROW(VHOST_VDPA_GET_VRING_SIZE, VRING, vdpa_get_vring_size),

	/* Other vhost devices' numbers, which clients try: the rule for unknown ones. */
	ROW(VHOST_RESET_OWNER, VRING, never),
	ROW(VHOST_GET_FEATURES_ARRAY, VRING, never),
	ROW(VHOST_SET_FEATURES_ARRAY, VRING, never),
};

#define ROWS (sizeof(table) / sizeof(table[0]))

static const struct row unknown = {0, "(unknown)", VRING, never};

static const struct row *find(const struct vdpa_file *file, unsigned cmd)
{
	if (file->options.kernel_uapi && cmd == VHOST_VDPA_SUSPEND_V6)
		return &unknown;
	for (size_t i = 0; i < ROWS; i++)
		if (table[i].cmd == cmd)
			return &table[i];
	return &unknown;
}

const char *vdpa_call_name(unsigned index, unsigned *cmd)
{
	if (index >= ROWS)
		return NULL;
	*cmd = table[index].cmd;
	return table[index].name;
}

int call_fetch(struct call *call, uint64_t offset, void *to, size_t size)
{
	if (call->vdpa->in && offset + size <= call->vdpa->in_size) {
		memcpy(to, (const uint8_t *)call->vdpa->in + offset, size);
		return 0;
	}
	return call->caller->ops->read(call->caller, call->vdpa->arg + offset, to, size);
}

int call_give(struct call *call, const void *out, size_t size)
{
	memcpy(call->out, out, size);
	call->out_size = size;
	return 0;
}

int call_eventfd(struct call *call, int fd, int *ours)
{
	int r;

	*ours = -1;
	if (fd == -1) /* VHOST_FILE_UNBIND */
		return 0;
	r = call->caller->ops->get_fd(call->caller, fd);
	if (r < 0)
		return r;
	*ours = r;
	r = eventfd_check(*ours);
	if (r) {
		foreign_close(*ours);
		*ours = -1;
	}
	return r;
}

static void reply_later(struct runtime_after *after)
{
	struct vdpa_file *file =
		(struct vdpa_file *)(void *)((char *)after - offsetof(struct vdpa_file, answer));

	file->reply(file->reply_arg, file->answer_result, NULL, 0);
}

/* The reply is a system call (a write to /dev/fuse): the device's lock is not held meanwhile. */
void vdpa_answer(void *arg, int result)
{
	struct vdpa_file *file = arg;

	file->answer_result = result;
	file->answer.run = reply_later;
	runtime_after(file->runtime, &file->answer);
}

/* What is looked at before a vring's verb, in the kernel's order. */
static int check_vring(struct vdpa_file *file, struct call *call)
{
	uint32_t index;
	int r = call_fetch(call, 0, &index, sizeof(index));

	if (r)
		return r;
	if (index >= device_get_vqs_count(runtime_device(file->runtime)))
		return -ENOBUFS;
	call->index = index;
	return 0;
}

void vdpa_file_ioctl(struct vdpa_file *file, struct caller *caller, const struct vdpa_call *vdpa,
		     vdpa_reply reply, void *arg)
{
	const struct row *row = find(file, vdpa->cmd);
	struct call call = {.vdpa = vdpa, .caller = caller};
	int r = 0;

	file->reply = reply;
	file->reply_arg = arg;
	if (row->rule != ANYBODY && (!file->owner || !file->owner->ops->is(file->owner, caller)))
		r = -EPERM;
	if (!r && row->rule == VRING)
		r = check_vring(file, &call);
	if (!r)
		r = row->run(file, &call);
	if (r != CALL_LATER)
		reply(arg, r, r ? NULL : call.out, r ? 0 : call.out_size);
}
