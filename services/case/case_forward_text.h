#ifndef CASEWORK_CASE_FORWARD_TEXT_H
#define CASEWORK_CASE_FORWARD_TEXT_H

/* The one text that a third party gets of a message or of a whole case. Pure. */

#include "base/arena.h"
#include "case/case_overlay.h"

#include <stddef.h>

/*
 * The note, then each message under a heading of who wrote it and when, the earliest first. `subject` NULL: a
 * single message. At most CASE_BODY_MAX bytes: what does not fit any more are the earliest messages, and a
 * line says so; a latest message that alone is too long is cut at its end. `lines`: the latest first; `cut`:
 * earlier ones are missing already. Marks the lines that have found room. In `memory`; NULL: that is full.
 */
char *case_forward_text(arena *memory, const char *note, const char *subject, struct transcript_line *lines,
                        size_t count, bool cut);

#endif
