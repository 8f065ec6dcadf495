# The server and its command line, in two images:
#
#   docker build --target cpu  --build-arg COMMIT=$(git rev-parse --short=12 HEAD) -t lamella:0.1.0 .
#   docker build --target cuda --build-arg COMMIT=$(git rev-parse --short=12 HEAD) -t lamella:0.1.0-cuda .
#
# Pin the base by its digest where images are released: --build-arg DEBIAN=debian@sha256:...
# Every step is a script that scripts/prove/image_root.sh runs as well, in a fresh root without a container engine.
ARG DEBIAN=debian:bookworm-slim

FROM ${DEBIAN} AS build
WORKDIR /src
COPY . .
ARG COMMIT
RUN scripts/image/build.sh cpu "${COMMIT}" /opt/lamella

FROM build AS build-cuda
RUN scripts/image/build.sh cuda "${COMMIT}" /opt/lamella

# What the binaries load, the user that they run as, the bill of materials.
FROM ${DEBIAN} AS runtime
COPY scripts/versions.sh scripts/image/runtime.sh /tmp/lamella/
RUN /tmp/lamella/runtime.sh && rm -r /tmp/lamella
ENV PATH=/opt/lamella/bin:/usr/bin:/bin
WORKDIR /var/lib/lamella
# 50051 data, 50052 administration, 9464 metrics. Without flags the server listens on loopback only.
EXPOSE 50051 50052 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/lamella/bin/lamella-server"]
CMD ["--help"]

FROM runtime AS cuda
COPY --from=build-cuda /opt/lamella /opt/lamella
RUN /opt/lamella/share/sbom.sh /opt/lamella
USER 65532:65532

FROM runtime AS cpu
COPY --from=build /opt/lamella /opt/lamella
RUN /opt/lamella/share/sbom.sh /opt/lamella
USER 65532:65532
