# PostgreSQL's official image with pg_tenancy in it, preloaded:
#   docker build --build-arg PG_MAJOR=18 --tag pg_tenancy .
#   docker run --env POSTGRES_PASSWORD=... pg_tenancy
ARG PG_MAJOR=18

FROM rust:1.95.0-slim-bookworm AS rust

FROM postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR
# The image's own package sources have the headers of its PostgreSQL alone. What only builds is not pinned: nothing of it stays.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential ca-certificates clang libclang-dev libssl-dev pkg-config zlib1g-dev \
        "postgresql-server-dev-${PG_MAJOR}" \
    && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/rustup /usr/local/rustup
COPY --from=rust /usr/local/cargo /usr/local/cargo
ENV RUSTUP_HOME=/usr/local/rustup \
    CARGO_HOME=/usr/local/cargo \
    PATH=/usr/local/cargo/bin:$PATH \
    PGRX_PG_CONFIG_PATH=/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config
RUN cargo install --locked cargo-pgrx --version 0.18.1
WORKDIR /build
COPY . .
RUN cargo pgrx package --pg-config "$PGRX_PG_CONFIG_PATH" --no-default-features --features "pg${PG_MAJOR}" --out-dir /out

FROM postgres:${PG_MAJOR}-bookworm
LABEL org.opencontainers.image.title="pg_tenancy" \
      org.opencontainers.image.description="PostgreSQL with row-level tenant isolation kept by the database itself" \
      org.opencontainers.image.licenses="PostgreSQL" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /out/usr/ /usr/
# In the database that the container makes when it first starts.
COPY tests/package/create_extension.sql /docker-entrypoint-initdb.d/10_pg_tenancy.sql
# Over TCP: the server that the entrypoint runs for a moment to initialize the database listens on its socket alone.
HEALTHCHECK --interval=10s --timeout=5s CMD ["pg_isready", "--quiet", "--host", "127.0.0.1", "--username", "postgres"]
# The image's entrypoint starts as root and gives that up itself, also for the server.
CMD ["postgres", "-c", "shared_preload_libraries=pg_tenancy"]
