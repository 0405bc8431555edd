"""The questions of bench/report.sh.

    report_questions.py WORK NOW_US                   writes WORK/bodies/NAME and WORK/peers/NAME.sql; a name is METHOD:WHAT
    report_questions.py compare NAME ANSWER SAID      whether a gRPC answer has the numbers that PostgreSQL said
"""
import struct
import sys

PARENT = "accounts/company-1"
DAY = 86_400


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(field, value):
    return field_bytes(field, value.encode())


def field_bytes(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def number(field, value):
    return varint(field << 3) + varint(value)


def time(field, seconds):
    return field_bytes(field, number(1, seconds))


# --- the peer -----------------------------------------------------------------------------------------------

def activity_sql(start, end, unit):
    """Every case stands where its last move brought it; all of these moves are within the reporting period."""
    return f"""
SELECT g.row, coalesce(c.created, 0), coalesce(m.pending, 0), coalesce(m.resolved, 0), coalesce(m.deleted, 0),
       coalesce(m.took, 0)
FROM generate_series(0, {(end - start) // unit} - 1) AS g (row)
LEFT JOIN (SELECT (floor(extract(epoch FROM time))::bigint - {start}) / {unit} AS row, count(*) AS created
           FROM peer_events WHERE kind = 1 AND time >= to_timestamp({start}) AND time < to_timestamp({end})
           GROUP BY 1) c ON c.row = g.row
LEFT JOIN (SELECT (floor(extract(epoch FROM time))::bigint - {start}) / {unit} AS row,
                  count(*) FILTER (WHERE status = 3) AS pending, count(*) FILTER (WHERE status = 4) AS resolved,
                  count(*) FILTER (WHERE status = 6) AS deleted,
                  (extract(epoch FROM sum(time - create_time) FILTER (WHERE status = 4)) * 1000000)::bigint AS took
           FROM (SELECT DISTINCT ON (case_id) time, create_time, status FROM peer_events
                 WHERE time >= to_timestamp({start}) AND status <> previous_status AND status IN (2, 3, 4, 6)
                 ORDER BY case_id, position DESC) last
           WHERE time < to_timestamp({end}) GROUP BY 1) m ON m.row = g.row
ORDER BY 1;
"""


def summary_sql(start, end):
    measures = ", ".join(f"(sum({m}))::bigint, array_to_string(percentile_disc(ARRAY[0.5, 0.9, 0.99])"
                         f" WITHIN GROUP (ORDER BY {m}), ' ')" for m in ("first_reply", "resolution", "replies", "agents"))
    return f"""
WITH closings AS (SELECT case_id FROM peer_events WHERE kind = 7 AND time >= to_timestamp({start})
                  AND time < to_timestamp({end}) GROUP BY 1),
cases AS (SELECT case_id, min(time) FILTER (WHERE message_kind = 1) AS opened,
                 min(time) FILTER (WHERE message_kind = 2) AS first, max(time) FILTER (WHERE message_kind = 2) AS last,
                 count(*) FILTER (WHERE message_kind = 2) AS replies,
                 count(DISTINCT agent) FILTER (WHERE message_kind = 2) AS agents
          FROM peer_events WHERE case_id IN (SELECT case_id FROM closings) GROUP BY case_id),
measured AS (SELECT (extract(epoch FROM first - opened) * 1000000)::bigint AS first_reply,
                    (extract(epoch FROM last - opened) * 1000000)::bigint AS resolution, replies, agents
             FROM cases WHERE replies > 0)
SELECT (SELECT count(*) FROM closings), count(*), {measures} FROM measured;
"""


# --- questions ----------------------------------------------------------------------------------------------

def write_all(work, now):
    today = now // DAY * DAY
    four_weeks, month_end = today - 27 * DAY, today + DAY

    def write(name, message, peer=None):
        with open(f"{work}/bodies/{name}", "wb") as file:
            file.write(struct.pack(">BI", 0, len(message)) + message)
        if peer is not None:
            with open(f"{work}/peers/{name}.sql", "w") as file:
                file.write(peer)

    def between(start, end):
        return text(1, PARENT) + time(2, start) + time(3, end)

    def date(day):
        import datetime
        return datetime.datetime.fromtimestamp(day, datetime.timezone.utc).strftime("%Y-%m-%d")

    # Days by date, not by today: what was prepared some days ago has the same answers.
    write("GetCaseActivity:today", text(1, PARENT) + text(3, date(today)), activity_sql(today, month_end, 3600))
    days = text(1, date(four_weeks)) + text(2, date(month_end))
    write("GetCaseActivity:28-days", text(1, PARENT) + field_bytes(5, days), activity_sql(four_weeks, month_end, DAY))
    write("GetEngagementSummary:28-days", between(four_weeks, month_end), summary_sql(four_weeks, month_end))
    write("GetEngagementSummary:day", between(today - DAY, today), summary_sql(today - DAY, today))
    write("GetEngagementSummary:28-days-odd", between(four_weeks + 1020, month_end - 12345))
    write("GetEngagementSummary:28-days-by-agent", between(four_weeks, month_end) + number(5, 1))
    write("GetEngagementSummary:28-days-by-opening", between(four_weeks, month_end) + number(4, 2))
    write("GetClassificationReport:28-days", between(four_weeks, month_end))
    write("GetClassificationReport:28-days-by-opening", between(four_weeks, month_end) + number(4, 2))
    write("GetCaseVolume:today-hours", between(today, month_end) + number(4, 1))
    write("GetCaseVolume:28-days", between(four_weeks, month_end))
    write("GetCaseVolume:28-days-by-closing", between(four_weeks, month_end) + number(6, 1))
    write("ListEngagements:28-days", between(four_weeks, month_end))
    write("ListEngagements:all", text(1, PARENT))
    write("ListEngagements:28-days-by-opening", between(four_weeks, month_end) + number(4, 2))
    write("ListEngagements:28-days-of-agent", between(four_weeks, month_end) + text(5, PARENT + "/agents/agent-1"))
    write("ListEngagements:28-days-of-channel", between(four_weeks, month_end) + text(6, PARENT + "/channels/shop"))
    write("ListEngagements:28-days-slowest", between(four_weeks, month_end) + text(9, "resolution_duration desc"))


# --- comparing ----------------------------------------------------------------------------------------------

def fields(data):
    """A message's fields: lists of numbers or bytes by number."""
    found, at = {}, 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read()
        if key & 7 == 0:
            value = read()
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            size = read() if size is None else size
            value = data[at:at + size]
            at += size
        found.setdefault(key >> 3, []).append(value)
    return found


def one(message, field, default=0):
    return message.get(field, [default])[0]


def micros(duration):
    parts = fields(duration)
    return one(parts, 1) * 1_000_000 + one(parts, 2) // 1000


def activity_rows(answer):
    rows = []
    for i, raw in enumerate(answer[1]):
        row = fields(raw)
        counts = [one(row, field) for field in (3, 4, 5, 6)]
        rows.append([i] + counts + [micros(row[7][0]) if 7 in row else 0])
    return rows


def same_activity(answer, said):
    ours = activity_rows(answer)
    # An average is rounded to a microsecond.
    return len(ours) == len(said) and all(
        row[:5] == peer[:5] and abs(row[5] * row[3] - peer[5]) <= max(row[3], 1) for row, peer in zip(ours, said))


def summary_row(answer):
    row = [one(answer, 1), one(answer, 2)]
    for field in (3, 4):
        measure = fields(answer[field][0])
        row += [micros(measure[part][0]) for part in (1, 2, 3, 4)]
    for field in (5, 6):
        measure = fields(answer[field][0])
        row += [struct.unpack("<d", measure[part][0])[0] for part in (1, 2, 3, 4)]
    return row


def same_summary(answer, said):
    ours, peer = summary_row(answer), list(said[0])
    exact = ours[1] <= 100_000
    for i in (2, 6, 10, 14):
        peer[i] = peer[i] / peer[1]
    means = all(abs(ours[i] - peer[i]) <= 1 for i in (2, 6, 10, 14))
    ranks = all(abs(x - y) <= (1 if exact else y / 100 + 1) for i, (x, y) in enumerate(zip(ours, peer)) if i > 1 and i % 4 != 2)
    return ours[:2] == peer[:2] and means and ranks


def compare(name, answer, said):
    with open(answer, "rb") as file:
        data = file.read()
    with open(said) as file:
        rows = [[int(word) for word in line.split()] for line in file if line.strip()]
    length = struct.unpack(">I", data[1:5])[0]
    message = fields(data[5:5 + length])
    same = (same_activity if name.startswith("GetCaseActivity") else same_summary)(message, rows)
    if not same:
        print(name, activity_rows(message) if name.startswith("GetCaseActivity") else summary_row(message), rows, sep="\n",
              file=sys.stderr)
    return 0 if same else 1


if sys.argv[1] == "compare":
    sys.exit(compare(*sys.argv[2:]))
write_all(sys.argv[1], int(sys.argv[2]) // 1_000_000)
