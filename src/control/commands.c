/*
 * What the control socket can be asked. Each request is run by a thread of its
 * own, which answers it or leaves that to a device.
 */
#include "control/control_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"
#include "runtime/runtime.h"
#include "util/log.h"
#include "util/suggest.h"

/* More requests than this wait for devices that are stuck: no more are begun. */
#define JOBS_MAX 64

/* One request while it is run. */
struct request_line {
	struct control_request *call;
	json_t *id, *arguments; /* borrowed from the request */
	const char *command;
	struct error err; /* why it is refused, and what class of error that is */
	const char *class;
	bool later; /* a device will answer */
};

json_t *control_error(json_t *id, const char *class, const char *message)
{
	return json_pack("{s:o, s:{s:s, s:s}}", "id", id ? id : json_null(), "error", "class",
			 class, "message", message);
}

static const char *class_of(int error)
{
	switch (error) {
	case -ETIMEDOUT:
		return "TimedOut";
	case -EBUSY:
		return "Busy";
	case -EOPNOTSUPP:
		return "NotSupported";
	case -ECANCELED:
		return "Canceled";
	default:
		return "Failed";
	}
}

/* Whether the arguments were as the command wants them; if not, says why. */
static bool unpacked(struct request_line *line, int result, const json_error_t *error)
{
	if (!result)
		return true;
	line->class = "BadRequest";
	error_set(&line->err, -EINVAL, "arguments of '%s': %s", line->command, error->text);
	return false;
}

/* The nearest device name, or NULL. */
static const char *suggest_device(const struct control *control, const char *name)
{
	const char **names = calloc(control->runtime_count + 1, sizeof(*names));
	const char *near;

	if (!names)
		return NULL;
	for (unsigned i = 0; i < control->runtime_count; i++)
		names[i] = device_name(runtime_device(control->runtimes[i]));
	near = suggest(name, names);
	free(names);
	return near;
}

static struct runtime *find_runtime(struct request_line *line, const char *name)
{
	const struct control *control = line->call->control;
	const char *near;

	for (unsigned i = 0; i < control->runtime_count; i++)
		if (!strcmp(device_name(runtime_device(control->runtimes[i])), name))
			return control->runtimes[i];
	near = suggest_device(control, name);
	line->class = "NoSuchDevice";
	error_set(&line->err, -ENODEV, "no device is called '%s'%s%s%s", name,
		  near ? "; did you mean '" : "", near ? near : "",
		  near ? "'?" : " ('uvdpa status' lists them)");
	return NULL;
}

static json_t *do_version(struct request_line *line)
{
	json_error_t error;

	if (!unpacked(line, json_unpack_ex(line->arguments, &error, JSON_STRICT, "{}"), &error))
		return NULL;
	return json_pack("{s:s, s:i}", "version", UVDPA_VERSION, "pid", (int)getpid());
}

static json_t *do_status(struct request_line *line)
{
	const char *name = NULL;
	struct runtime *only = NULL;
	json_error_t error;
	json_t *devices;

	if (!unpacked(line,
		      json_unpack_ex(line->arguments, &error, JSON_STRICT, "{s?:s}", "name", &name),
		      &error))
		return NULL;
	if (name && !(only = find_runtime(line, name)))
		return NULL;
	devices = control_figures_tell(line->call->control, only);
	return json_pack("{s:s, s:i, s:o}", "version", UVDPA_VERSION, "pid", (int)getpid(),
			 "devices", devices);
}

/* Hands the answer to the socket's thread. The request is gone. Any thread. */
static void call_answer(struct control_request *call, json_t *answer)
{
	struct control *control = call->control;
	uint64_t one = 1;

	call->answer = answer;
	pthread_mutex_lock(&control->lock);
	call->next = control->answered;
	control->answered = call;
	if (write(control->wake, &one, sizeof(one)) < 0)
		log_warning(NULL, "the control thread cannot be woken: %s", strerror(errno));
	pthread_cond_broadcast(&control->call_changed);
	pthread_mutex_unlock(&control->lock);
}

void control_request_free(struct control_request *call)
{
	json_decref(call->answer);
	json_decref(call->request);
	free(call);
}

/* What a person should know when a device did not do it. */
static void explain(const struct control_request *call, int result, struct error *f)
{
	const char *name = device_name(runtime_device(call->runtime));

	if (result == -ETIMEDOUT && !strcmp(call->command, "suspend"))
		error_set(
			f, -ETIMEDOUT,
			"device '%s' did not stand still in time and runs on; its backend is slow: "
			"try a longer timeout",
			name);
	else if (result == -ECANCELED)
		error_set(f, -ECANCELED, "%s of device '%s' was given up: it was reset or resumed",
			  call->command, name);
	else if (result == -EIO)
		error_set(f, -EIO, "device '%s' broke meanwhile ('uvdpa status %s' says why)", name,
			  name);
	else
		error_set(f, result, "%s of device '%s': %s", call->command, name,
			  strerror(-result));
}

/* A device has answered; its lock is held, the thread may be any. */
static void on_answer(void *arg, int result)
{
	struct control_request *call = arg;
	json_t *id = json_object_get(call->request, "id");
	const struct device *device = runtime_device(call->runtime);
	struct error f;

	if (result) {
		explain(call, result, &f);
		call_answer(call, control_error(json_incref(id), class_of(result), f.text));
	} else {
		call_answer(call, json_pack("{s:O?, s:{s:s, s:s}}", "id", id, "return", "name",
					    device_name(device), "state",
					    lifecycle_state_name(device_state(device))));
	}
}

/* From here on the device answers: `line->request` may be gone at any time. */
static struct control_request *leave_to(struct request_line *line, struct runtime *runtime,
					const char *command)
{
	line->later = true;
	line->call->runtime = runtime;
	line->call->command = command;
	return line->call;
}

static void suspend(struct request_line *line, struct runtime *runtime, uint32_t timeout_ms,
		    const char *policy)
{
	struct device *device = runtime_lock(runtime);
	struct control_request *call = leave_to(line, runtime, "suspend");

	if (policy)
		device_suspend_or_park(device, HOLDER_OPERATOR, runtime_now_ms(), timeout_ms,
				       !strcmp(policy, "park"), on_answer, call);
	else
		device_suspend(device, HOLDER_OPERATOR, runtime_now_ms(), timeout_ms, on_answer,
			       call);
	runtime_unlock(runtime);
}

static json_t *do_suspend(struct request_line *line)
{
	const char *name, *policy = NULL;
	json_int_t timeout_ms = 0;
	struct runtime *runtime;
	json_error_t error;

	if (!unpacked(line,
		      json_unpack_ex(line->arguments, &error, JSON_STRICT, "{s:s, s?:I, s?:s}",
				     "name", &name, "timeout_ms", &timeout_ms, "on_timeout",
				     &policy),
		      &error))
		return NULL;
	if (timeout_ms < 0 || timeout_ms > 3600000) {
		line->class = "BadRequest";
		error_set(&line->err, -EINVAL, "timeout_ms can be 1 to 3600000, or 0: the default");
		return NULL;
	}
	if (policy && strcmp(policy, "fail") && strcmp(policy, "park")) {
		line->class = "BadRequest";
		error_set(&line->err, -EINVAL, "on_timeout is 'fail' or 'park'");
		return NULL;
	}
	runtime = find_runtime(line, name);
	if (!runtime)
		return NULL;
	suspend(line, runtime, (uint32_t)timeout_ms, policy);
	return NULL;
}

/* Reads the arguments of a command that takes a name and nothing else. */
static struct runtime *named_runtime(struct request_line *line)
{
	const char *name;
	json_error_t error;

	if (!unpacked(line,
		      json_unpack_ex(line->arguments, &error, JSON_STRICT, "{s:s}", "name", &name),
		      &error))
		return NULL;
	return find_runtime(line, name);
}

static json_t *do_reset(struct request_line *line)
{
	struct runtime *runtime = named_runtime(line);

	if (!runtime)
		return NULL;
	device_reset(runtime_lock(runtime), EV_OPERATOR_RESET, runtime_now_ms(), on_answer,
		     leave_to(line, runtime, "reset"));
	runtime_unlock(runtime);
	return NULL;
}

static json_t *state_answer(struct runtime *runtime)
{
	struct device *device = runtime_lock(runtime);
	const char *state = lifecycle_state_name(device_state(device));

	runtime_unlock(runtime);
	return json_pack("{s:s, s:s}", "name", device_name(runtime_device(runtime)), "state",
			 state);
}

static json_t *do_resume(struct request_line *line)
{
	struct runtime *runtime = named_runtime(line);
	int ret;

	if (!runtime)
		return NULL;
	ret = device_resume(runtime_lock(runtime), HOLDER_OPERATOR);
	runtime_unlock(runtime);
	if (!ret)
		return state_answer(runtime);
	line->class = class_of(ret);
	error_set(&line->err, ret, "device '%s' cannot resume: %s",
		  device_name(runtime_device(runtime)),
		  ret == -EBUSY ? "another device works on its disk now" : strerror(-ret));
	return NULL;
}

static json_t *do_resize(struct request_line *line)
{
	const char *name;
	json_int_t bytes;
	struct runtime *runtime;
	json_error_t error;
	int ret;

	if (!unpacked(line,
		      json_unpack_ex(line->arguments, &error, JSON_STRICT, "{s:s, s:I}", "name",
				     &name, "bytes", &bytes),
		      &error))
		return NULL;
	runtime = find_runtime(line, name);
	if (!runtime)
		return NULL;
	if (bytes <= 0 || bytes % 512) {
		line->class = "BadRequest";
		error_set(&line->err, -EINVAL, "a disk has a multiple of 512 bytes, at least 512");
		return NULL;
	}
	error_set(&line->err, -EIO, "device '%s' cannot be resized", name);
	ret = device_resize(runtime_lock(runtime), (uint64_t)bytes, &line->err);
	runtime_unlock(runtime);
	line->class = class_of(ret);
	return ret ? NULL : json_pack("{s:s, s:I}", "name", name, "bytes", bytes);
}

static json_t *do_link(struct request_line *line)
{
	const char *name;
	struct runtime *runtime;
	json_error_t error;
	int up, ret;

	if (!unpacked(line,
		      json_unpack_ex(line->arguments, &error, JSON_STRICT, "{s:s, s:b}", "name",
				     &name, "up", &up),
		      &error))
		return NULL;
	runtime = find_runtime(line, name);
	if (!runtime)
		return NULL;
	ret = device_set_link(runtime_lock(runtime), up, &line->err);
	runtime_unlock(runtime);
	line->class = class_of(ret);
	return ret ? NULL : json_pack("{s:s, s:b}", "name", name, "up", up);
}

static json_t *do_announce(struct request_line *line)
{
	struct runtime *runtime = named_runtime(line);
	int ret;

	if (!runtime)
		return NULL;
	ret = device_announce(runtime_lock(runtime), &line->err);
	runtime_unlock(runtime);
	line->class = class_of(ret);
	return ret ? NULL : state_answer(runtime);
}

static json_t *do_save(struct request_line *line)
{
	struct runtime *runtime = named_runtime(line);
	json_t *result;

	if (!runtime)
		return NULL;
	result = control_save(runtime, &line->err);
	if (!result)
		line->class = class_of(line->err.code);
	return result;
}

static json_t *do_trace(struct request_line *line)
{
	struct runtime *runtime = named_runtime(line);
	json_t *result;

	if (!runtime)
		return NULL;
	result = control_trace(runtime, &line->err);
	if (!result)
		line->class = class_of(line->err.code);
	return result;
}

static json_t *do_restore(struct request_line *line)
{
	const char *name, *state;
	struct runtime *runtime;
	json_error_t error;
	int ret;

	if (!unpacked(line,
		      json_unpack_ex(line->arguments, &error, JSON_STRICT, "{s:s, s:s}", "name",
				     &name, "state", &state),
		      &error))
		return NULL;
	runtime = find_runtime(line, name);
	if (!runtime)
		return NULL;
	ret = control_restore(runtime, state, &line->err);
	line->class = class_of(ret);
	return ret ? NULL : state_answer(runtime);
}

static const struct command {
	const char *name;
	/* Returns what goes into "return"; NULL: refused, or later. */
	json_t *(*run)(struct request_line *line);
} commands[] = {
	{"status", do_status},	   {"suspend", do_suspend}, {"resume", do_resume},
	{"resize", do_resize},	   {"reset", do_reset},	    {"version", do_version},
	{"save", do_save},	   {"restore", do_restore}, {"link", do_link},
	{"announce", do_announce}, {"trace", do_trace},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static json_t *unknown_command(struct request_line *line)
{
	const char *known[COMMANDS + 1] = {NULL};
	const char *near;

	for (size_t i = 0; i < COMMANDS; i++)
		known[i] = commands[i].name;
	near = suggest(line->command, known);
	line->class = "UnknownCommand";
	error_set(&line->err, -ENOSYS, "unknown command '%s'%s%s%s", line->command,
		  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return NULL;
}

static json_t *run(struct request_line *line)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, line->command))
			return commands[i].run(line);
	return unknown_command(line);
}

/* Runs a request that is JSON. Returns NULL if a device answers it. */
static json_t *answer_request(struct control_request *call)
{
	struct request_line line = {.call = call, .class = "BadRequest"};
	json_t *none = json_object(), *result = NULL, *answer = NULL;
	json_error_t error;

	line.arguments = none;
	if (json_unpack_ex(call->request, &error, JSON_STRICT, "{s?:o, s:s, s?:o}", "id", &line.id,
			   "command", &line.command, "arguments", &line.arguments))
		error_set(&line.err, -EINVAL, "request: %s", error.text);
	else
		result = run(&line);
	if (result)
		answer = json_pack("{s:O?, s:o}", "id", line.id, "return", result);
	else if (!line.later)
		answer = control_error(json_incref(line.id), line.class, line.err.text);
	json_decref(none);
	return answer;
}

void control_thread_ends(struct control *control)
{
	pthread_mutex_lock(&control->lock);
	control->threads--;
	pthread_cond_broadcast(&control->call_changed);
	pthread_mutex_unlock(&control->lock);
}

static void *run_call(void *arg)
{
	struct control_request *call = arg;
	struct control *control = call->control;
	json_t *answer = answer_request(call);

	if (answer)
		call_answer(call, answer);
	control_thread_ends(control);
	return NULL;
}

int control_thread_start(struct control *control, void *(*start)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_mutex_lock(&control->lock);
	control->threads++;
	pthread_mutex_unlock(&control->lock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	ret = -pthread_create(&thread, &attr, start, arg);
	pthread_attr_destroy(&attr);
	if (ret)
		control_thread_ends(control);
	return ret;
}

/* Takes the request over. */
static json_t *begin_call(struct control *control, uint64_t connection, json_t *request)
{
	struct control_request *call =
		control->requests < JOBS_MAX ? calloc(1, sizeof(*call)) : NULL;
	json_t *answer;

	if (call) {
		*call = (struct control_request){
			.control = control, .connection = connection, .request = request};
		if (!control_thread_start(control, run_call, call)) {
			control->requests++;
			return NULL;
		}
		free(call);
	}
	answer = control_error(json_incref(json_object_get(request, "id")), "Busy",
			       "too many requests wait for devices");
	json_decref(request);
	return answer;
}

json_t *control_answer(struct control *control, uint64_t connection, const char *text, size_t size)
{
	json_error_t error;
	json_t *request = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	char message[256];

	if (request)
		return begin_call(control, connection, request);
	snprintf(message, sizeof(message), "not JSON: %s (column %d)", error.text, error.column);
	return control_error(NULL, "BadRequest", message);
}
