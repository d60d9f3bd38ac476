# The keeper as an image: docker build -t plimsoll-keeper .
#   docker run --rm -v "$PWD/keeper.toml:/keeper/keeper.toml:ro" -v keeper-data:/keeper/keeper-data plimsoll-keeper run
FROM rust:1.94.1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /plimsoll
COPY . .
# The commit is told by the caller, because .git is not part of the build: --build-arg COMMIT=$(git rev-parse HEAD).
ARG COMMIT
ENV PLIMSOLL_COMMIT=$COMMIT
RUN cargo build --release --locked -p plimsoll-keeper

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /keeper keeper \
    && install -d -o keeper -g keeper /keeper/keeper-data
COPY --from=build /plimsoll/target/release/plimsoll-keeper /usr/local/bin/
USER keeper
WORKDIR /keeper
# Journal and signer locks must outlive the container.
VOLUME /keeper/keeper-data
ENV XDG_STATE_HOME=/keeper/keeper-data/state
EXPOSE 9464
ENTRYPOINT ["plimsoll-keeper"]
CMD ["run"]
