#include "examples/maildir/mail.h"

#include <gmime/gmime.h>
#include <string.h>

enum { BODY_MAX = 1024 * 1024, SUBJECT_MAX = 998, NAME_MAX_BYTES = 256, ID_MAX = 512, FILES_MAX = 100 };
enum { FILE_NAME_BYTES = 255 };

#define CUT_OFF "\n[The rest was cut off.]\n"

void mail_init(void)
{
    g_mime_init();
}

/* Valid UTF-8 of at most `maximum` bytes, cut at a character's border. */
static char *clean(arena *memory, const char *text, size_t maximum)
{
    char *valid = g_utf8_make_valid(text == NULL ? "" : text, -1);
    size_t length = strlen(valid);
    if (length > maximum) {
        length = maximum;
        while (length > 0 && ((unsigned char)valid[length] & 0xC0) == 0x80)
            length--;
    }
    char *copy = arena_strndup(memory, valid, length);
    g_free(valid);
    return copy;
}

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "the mail is too large");
}

/* --- the parts --- */

struct parts {
    GMimeObject *plain, *html;
    struct mail *mail;
    arena *memory;
    bool failed;
};

static void take_file(struct parts *parts, GMimePart *part)
{
    struct mail *mail = parts->mail;
    if (mail->file_count == FILES_MAX)
        return;
    GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(part));
    GMimeDataWrapper *content = g_mime_part_get_content(part);
    char *type_name = g_mime_content_type_get_mime_type(type);
    const char *name = g_mime_part_get_filename(part);
    struct mail_file *file = &mail->files[mail->file_count++];
    file->name = clean(parts->memory, name == NULL ? "unnamed" : name, FILE_NAME_BYTES);
    file->content_type = clean(parts->memory, type_name, FILE_NAME_BYTES);
    file->size = content == NULL ? 0 : g_mime_stream_length(g_mime_data_wrapper_get_stream(content));
    g_free(type_name);
    parts->failed = parts->failed || file->name == NULL || file->content_type == NULL || file->size < 0;
}

/* The first plain text is the body, or else the first HTML; everything else is a file. */
static void look_at(GMimeObject *parent, GMimeObject *part, gpointer data)
{
    (void)parent;
    struct parts *parts = data;
    if (!GMIME_IS_PART(part))
        return;
    GMimeContentType *type = g_mime_object_get_content_type(part);
    bool is_file = g_mime_part_is_attachment(GMIME_PART(part));
    if (!is_file && parts->plain == NULL && g_mime_content_type_is_type(type, "text", "plain"))
        parts->plain = part;
    else if (!is_file && parts->html == NULL && g_mime_content_type_is_type(type, "text", "html"))
        parts->html = part;
    else
        take_file(parts, GMIME_PART(part));
}

static char *body_of(const struct parts *parts)
{
    GMimeObject *part = parts->plain != NULL ? parts->plain : parts->html;
    char *text =
        part != NULL && GMIME_IS_TEXT_PART(part) ? g_mime_text_part_get_text(GMIME_TEXT_PART(part)) : NULL;
    char *body = clean(parts->memory, text, BODY_MAX - strlen(CUT_OFF));
    if (body != NULL && text != NULL && strlen(text) > BODY_MAX)
        body = arena_printf(parts->memory, "%s" CUT_OFF, body);
    g_free(text);
    return body;
}

static bool read_parts(GMimeMessage *message, arena *memory, struct mail *mail, error *err)
{
    mail->files = arena_calloc(memory, FILES_MAX, sizeof *mail->files);
    struct parts parts = {.mail = mail, .memory = memory, .failed = mail->files == NULL};
    if (!parts.failed)
        g_mime_message_foreach(message, look_at, &parts);
    mail->body = body_of(&parts);
    return (!parts.failed && mail->body != NULL) || no_memory(err);
}

/* --- the head --- */

static bool read_sender(GMimeMessage *message, arena *memory, struct mail *mail, error *err)
{
    InternetAddressList *from = g_mime_message_get_from(message);
    InternetAddress *first = from != NULL && internet_address_list_length(from) > 0
                                 ? internet_address_list_get_address(from, 0)
                                 : NULL;
    if (first == NULL || !INTERNET_ADDRESS_IS_MAILBOX(first))
        return error_set(err, STATUS_INVALID_ARGUMENT, "NO_SENDER", "nobody has sent it");
    const char *name = internet_address_get_name(first);
    mail->from_address =
        clean(memory, internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(first)), BODY_MAX);
    mail->from_name = clean(memory, name, NAME_MAX_BYTES);
    return (mail->from_address != NULL && mail->from_name != NULL) || no_memory(err);
}

static size_t read_references(GMimeMessage *message, const char *header, arena *memory, char **out,
                              size_t room)
{
    const char *text = g_mime_object_get_header(GMIME_OBJECT(message), header);
    GMimeReferences *references = text == NULL ? NULL : g_mime_references_parse(NULL, text);
    size_t count = 0;
    for (int i = 0; references != NULL && i < g_mime_references_length(references) && count < room; i++)
        out[count++] = clean(memory, g_mime_references_get_message_id(references, i), BODY_MAX);
    g_mime_references_free(references);
    return count;
}

/* A mail without an identifier is known by its content. */
static char *id_of(GMimeMessage *message, const char *path, arena *memory)
{
    const char *given = g_mime_message_get_message_id(message);
    if (given != NULL && given[0] != '\0' && strlen(given) <= ID_MAX)
        return clean(memory, given, ID_MAX);
    char *content = NULL;
    gsize length = 0;
    if (!g_file_get_contents(path, &content, &length, NULL))
        return NULL;
    char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)content, length);
    char *id = arena_printf(memory, "sha256:%s", sum);
    g_free(sum);
    g_free(content);
    return id;
}

static bool read_head(GMimeMessage *message, const char *path, arena *memory, struct mail *mail, error *err)
{
    enum { REFERENCES_MAX = 50 };
    GDateTime *date = g_mime_message_get_date(message);
    const char *automatic = g_mime_object_get_header(GMIME_OBJECT(message), "Auto-Submitted");
    mail->subject = clean(memory, g_mime_message_get_subject(message), SUBJECT_MAX);
    mail->id = id_of(message, path, memory);
    mail->references = arena_calloc(memory, REFERENCES_MAX, sizeof *mail->references);
    if (mail->subject == NULL || mail->id == NULL || mail->references == NULL)
        return no_memory(err);
    mail->reference_count = read_references(message, "In-Reply-To", memory, mail->references, REFERENCES_MAX);
    mail->reference_count +=
        read_references(message, "References", memory, mail->references + mail->reference_count,
                        REFERENCES_MAX - mail->reference_count);
    mail->time_us = date == NULL ? 0 : g_date_time_to_unix(date) * INT64_C(1000000);
    mail->automatic = automatic != NULL && g_ascii_strncasecmp(automatic, "no", strlen("no")) != 0;
    return true;
}

static GMimeMessage *parse(const char *path)
{
    GMimeStream *stream = g_mime_stream_file_open(path, "r", NULL);
    if (stream == NULL)
        return NULL;
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);
    g_object_unref(parser);
    g_object_unref(stream);
    return message;
}

bool mail_read(const char *path, arena *memory, struct mail *ret_mail, error *err)
{
    struct mail mail = {0};
    GMimeMessage *message = parse(path);
    if (message == NULL)
        return error_set(err, STATUS_INVALID_ARGUMENT, "NO_MAIL", "it is no mail");
    bool done = read_sender(message, memory, &mail, err) && read_head(message, path, memory, &mail, err) &&
                read_parts(message, memory, &mail, err);
    g_object_unref(message);
    if (done)
        *ret_mail = mail;
    return done;
}
