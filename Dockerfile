# Two stages: what it takes to build, then only what it takes to run.
FROM debian:bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG CDC_COMMIT=unknown
WORKDIR /src
COPY tools/packages.txt tools/packages.txt
# hadolint ignore=DL3008
RUN apt-get update \
	&& sed -n '/^\[build\]/,/^\[test\]/{/^[a-z]/p}' tools/packages.txt | cut -d' ' -f1 \
		| xargs apt-get install -y --no-install-recommends \
	&& rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt CMakePresets.json VERSION ./
COPY cmake cmake
COPY proto proto
COPY src src
RUN cmake --preset release -DCDC_COMMIT="$CDC_COMMIT" \
	&& ninja -C build/release milvus-cdc \
	&& strip build/release/milvus-cdc \
	&& build/release/milvus-cdc --version

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
	&& apt-get install -y --no-install-recommends \
		ca-certificates libgnutls30 libjansson4 liblz4-1 libmariadb3 libmicrohttpd12 libnghttp2-14 \
		libprotobuf-c1 librdkafka1 libsasl2-modules libsnappy1v5 libsqlite3-0 libssl3 \
		libyaml-0-2 libzstd1 zlib1g \
	&& rm -rf /var/lib/apt/lists/* \
	&& groupadd --gid 10001 milvus-cdc \
	&& useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin milvus-cdc \
	&& mkdir -p /app/configs /app/server/configs /app/data \
	&& chown 10001:10001 /app/data
COPY --from=build /src/build/release/milvus-cdc /app/milvus-cdc
# The configuration is mounted at /app/configs/cdc.yaml or, as older images had it, at
# /app/server/configs/cdc.yaml. The image carries none, so that a missing mount is an error at the start.
WORKDIR /app
USER 10001:10001
VOLUME /app/data
EXPOSE 8444
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 CMD ["/app/milvus-cdc", "health"]
ENTRYPOINT ["/app/milvus-cdc"]
CMD ["server"]
