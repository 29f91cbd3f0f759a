/*
 * The parts of 'uvdpa plot': plot.c (the verb), plot_marks.c (what happened, and where its marks
 * go), plot_svg.c (the drawing).
 */
#ifndef UVDPA_PLOT_PLOT_H
#define UVDPA_PLOT_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "plot/trace_file.h"

#define PLOT_FILES 2
#define PLOT_MARKS 12 /* of one panel */

/* A standstill: from the last work of one device to the first of another, or of its own. */
struct plot_move {
	bool found;
	bool open; /* it has not ended: first_ns is the last that is known, and target the source */
	unsigned source, target; /* which trace */
	uint64_t last_ns, first_ns;
	uint64_t zero_ns;	      /* of the picture's clock: suspension asked for, or last_ns */
	uint64_t suspend_ns, stop_ns; /* asked for, and reached; 0, 0: it was not suspended */
	/* DRIVER_OK or resume, and what it led to; 0, 0: not known. */
	uint64_t start_ns, running_ns;
	uint64_t calls, call_ns; /* of the clients from zero on, and the time they took */
};

struct plot_mark {
	uint64_t at_ns;
	enum device_trace_event kind;
	enum device_state state;
	bool gone;
	unsigned count;	   /* of such events, from this one on */
	uint64_t until_ns; /* the last of them */
	double x;	   /* of the time */
	double label_x;	   /* of the number */
};

struct plot_panel {
	const struct trace_file *trace;
	struct plot_mark marks[PLOT_MARKS];
	unsigned mark_count, mark_first; /* the number of the first mark */
};

struct plot {
	struct plot_panel panels[PLOT_FILES];
	unsigned panel_count;
	struct plot_move move;
	uint64_t from_ns, to_ns; /* what is shown */
};

/* Finds the last standstill and what to show of it. */
void plot_prepare(struct plot *plot, const struct trace_file *traces, unsigned count);
/* Moves labels apart that are less than `distance` from each other, and into [left, right]. */
void plot_spread(struct plot_mark *marks, unsigned count, double distance, double left,
		 double right);
/* Says what a mark is. */
void plot_describe(const struct plot *plot, const struct plot_panel *panel,
		   const struct plot_mark *mark, char *text, size_t size);

/* Draws. */
void plot_draw(struct plot *plot, FILE *to);

#endif
