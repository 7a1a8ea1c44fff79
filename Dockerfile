# Cartwright as an image: one program, no shell, no root.
#
#   docker build -t cartwright .
#   docker run --rm -p 127.0.0.1:8080:8080 -v cartwright:/data cartwright      # the whole system, on files in a volume
#
# deploy/compose.yaml runs it role by role on PostgreSQL and Kafka.

# The version is that of rust-toolchain.toml (`cargo xtask test` compares them). The file itself stays out of the build:
# it would have rustup fetch what only development needs.
FROM rust:1.95.0-slim-trixie AS build
# librdkafka, OpenSSL, SQLite and others are C, and are built along.
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential cmake perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What was downloaded and built stays in caches, so the next build compiles only what has changed. The caches are no part
# of the image, which is why the program is taken out of them at once; names of functions stay in it, for reports of panics.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release \
 && mkdir -p /out/data \
 && strip --strip-debug -o /out/cartwright target/release/cartwright

# The C library of the same Debian, CA certificates, time zones; nothing else.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /out/cartwright /usr/local/bin/cartwright
# A new volume takes over whose directory it covers.
COPY --from=build --chown=65532:65532 /out/data /data
# By number: Kubernetes can't tell by a name that it is not root.
USER 65532:65532
# Data is kept in ./cartwright-data unless a setting says otherwise, so all commands find it by themselves here.
WORKDIR /data
VOLUME /data
# Nobody outside reaches a container's 127.0.0.1. There is no authentication: publish the port to whom you trust.
ENV CARTWRIGHT__HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
# No HEALTHCHECK: Docker restarts nothing because of it, and others ask /health/live and /health/ready themselves.
ENTRYPOINT ["cartwright"]
CMD ["up"]
