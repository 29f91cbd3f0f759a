/*
 * Dirty logging over vhost-vdpa, with log=on: our extension, since the kernel answers SET_LOG_BASE
 * with ENOTTY there. It is what other vhost devices do (linux: vhost_set_log_base, log_write):
 *
 * - GET_FEATURES offers VHOST_F_LOG_ALL. SET_FEATURES with it turns logging on, without it off;
 * also after FEATURES_OK, if nothing else changes.
 * - SET_LOG_BASE takes the address of a bitmap in the owner's memory, one bit per 4096 bytes of
 *   I/O virtual address in address space 0.
 * - SET_VRING_ADDR with VHOST_VRING_F_LOG has the used ring logged as if it lay at log_guest_addr.
 */
#include <errno.h>

#include "export/vdpa/vdpa_internal.h"
#include "memory/client.h"

static void apply(struct vdpa_file *file)
{
	struct dirty_log *log = file->logging && file->has_log ? &file->log : NULL;

	device_set_log(file->device, log);
	for (unsigned i = 0; i < device_get_vqs_count(file->device); i++)
		device_set_vq_log(file->device, i, file->logs_used[i] ? log : NULL,
				  file->used_logged_at[i]);
}

/* Whether a bitmap can begin there: read once, without anybody being waited for. */
static int try_log(struct client_memory *memory, uint64_t base)
{
	struct window window;
	uint8_t byte;
	bool barred;

	if (memory->ops->map(memory, base, 1, true, &window) < 0)
		return -ENOMEM;
	barred = window.barred;
	memory->ops->unmap(memory, &window);
	return barred ? -EFAULT : memory->ops->read(memory, base, &byte, sizeof(byte));
}

int vdpa_set_log_base(struct vdpa_file *file, struct call *call)
{
	uint64_t base;
	int r;

	if (!file->options.log)
		return -ENOTTY;
	if (!file->owner || !file->owner->ops->is(file->owner, call->caller))
		return -EPERM;
	r = call_fetch(call, 0, &base, sizeof(base));
	if (r == 0)
		r = try_log(file->owner->memory, base);
	if (r < 0)
		return -EFAULT;
	runtime_lock(file->runtime);
	device_set_log(file->device, NULL); /* nobody is looking at the old one any more */
	for (unsigned i = 0; i < device_get_vqs_count(file->device); i++)
		device_set_vq_log(file->device, i, NULL, 0);
	file->log.memory = file->owner->memory;
	file->log.uaddr = base;
	file->has_log = true;
	apply(file);
	runtime_unlock(file->runtime);
	return 0;
}

void vdpa_log_features(struct vdpa_file *file, uint64_t features)
{
	if (!file->options.log)
		return;
	file->logging = features & VDPA_LOG_ALL;
	apply(file);
}

void vdpa_log_vring(struct vdpa_file *file, unsigned index, bool log, uint64_t at)
{
	if (!file->options.log)
		return;
	file->logs_used[index] = log;
	file->used_logged_at[index] = at;
	apply(file);
}
