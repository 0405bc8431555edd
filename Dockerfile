# Two stages: everything is built from source in the first, the second holds the programs, what they link against
# and the migrations. One image for all services; the command says which one runs.

FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends git make gcc libc6-dev ca-certificates
WORKDIR /src
COPY scripts scripts
RUN scripts/install-deps build
COPY Makefile ./
COPY mk mk
COPY proto proto
COPY lib lib
COPY services services
COPY cli cli
COPY db db
RUN make all && strip build/bin/casework*

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
        libgrpc29 libprotobuf-c1 libhiredis0.14 libpq5 libjwt0 libjansson4 libunistring2 libxxhash0 \
        libmicrohttpd12 libssl3 tzdata ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 65532 --no-create-home --shell /usr/sbin/nologin casework \
    && install -d -o casework -g casework -m 0700 /keys /data
COPY --from=build /src/build/bin/casework /src/build/bin/casework-case /src/build/bin/casework-search \
     /src/build/bin/casework-sla /src/build/bin/casework-report /usr/local/bin/
COPY db /usr/local/share/casework/db
USER casework
EXPOSE 7001 7002 7003 7004 9090
CMD ["casework", "--help"]
