#include "examples/maildir/mail.h"

#include <errno.h>
#include <fcntl.h>
#include <gmime/gmime.h>
#include <string.h>
#include <unistd.h>

/* Headers are one line: whatever stands in a subject begins no other header. */
static char *one_line(const char *text)
{
    char *line = g_strdup(text);
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7F)
            *p = ' ';
    }
    return line;
}

static GMimeMessage *compose(const struct mail_out *mail)
{
    GMimeMessage *message = g_mime_message_new(TRUE);
    GDateTime *date = g_date_time_new_from_unix_utc(mail->time_us / 1000000);
    char *subject = one_line(mail->subject), *reference = g_strdup_printf("<%s>", mail->reference);
    g_mime_message_add_mailbox(message, GMIME_ADDRESS_TYPE_FROM, NULL, mail->from);
    g_mime_message_add_mailbox(message, GMIME_ADDRESS_TYPE_TO, NULL, mail->to);
    for (size_t i = 0; i < mail->cc_count; i++)
        g_mime_message_add_mailbox(message, GMIME_ADDRESS_TYPE_CC, NULL, mail->cc[i]);
    g_mime_message_set_subject(message, subject, "utf-8");
    g_mime_message_set_date(message, date);
    g_mime_message_set_message_id(message, mail->id);
    g_mime_object_set_header(GMIME_OBJECT(message), "References", reference, NULL);
    if (mail->automatic)
        g_mime_object_set_header(GMIME_OBJECT(message), "Auto-Submitted", "auto-generated", NULL);
    GMimeTextPart *text = g_mime_text_part_new_with_subtype("plain");
    g_mime_text_part_set_text(text, mail->body);
    g_mime_part_set_content_encoding(GMIME_PART(text), GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE);
    g_mime_message_set_mime_part(message, GMIME_OBJECT(text));
    g_object_unref(text);
    g_date_time_unref(date);
    g_free(subject);
    g_free(reference);
    return message;
}

bool mail_write(const struct mail_out *mail, const char *path, error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, STATUS_UNAVAILABLE, "DISK", "%s: %s", path, strerror(errno));
    GMimeMessage *message = compose(mail);
    GMimeStream *stream = g_mime_stream_fs_new(fd);
    g_mime_stream_fs_set_owner(GMIME_STREAM_FS(stream), FALSE);
    bool written = g_mime_object_write_to_stream(GMIME_OBJECT(message), NULL, stream) >= 0 &&
                   g_mime_stream_flush(stream) == 0 && fsync(fd) == 0;
    g_object_unref(stream);
    g_object_unref(message);
    return (close(fd) == 0 && written) ||
           error_set(err, STATUS_UNAVAILABLE, "DISK", "%s: cannot be written", path);
}
