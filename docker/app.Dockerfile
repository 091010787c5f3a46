# One image for every component: its command says whether it is a worker, beat, Flower, the API or a producer.
# `python -m scripts.image build` (make image) builds it. Plain enough for the classic builder and for BuildKit; a
# `# syntax=` line would ask a registry for a frontend at every build.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Base64 of PEM: what pip trusts on top of the base's certificates, for networks whose proxy opens TLS.
ARG EXTRA_CA_CERTS=""
# Known to pip only where the builder gives them; they stay in this stage.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
RUN printf %s "$EXTRA_CA_CERTS" | base64 --decode | cat /etc/ssl/certs/ca-certificates.crt - >/ca.pem
# The same content has the same bytes and times, whenever and wherever it is built.
ARG SOURCE_DATE_EPOCH=0
COPY requirements/app.txt /requirements.txt
# Pip has an environment of its own, so that none comes into the application's. Bytecode that is never compared with
# its source spares a read-only root a look at every file and a compilation that it can't keep.
RUN python -m venv /pip && python -m venv --without-pip /opt/venv && \
    /pip/bin/pip --python /opt/venv/bin/python --cert /ca.pem install --no-cache-dir --no-compile \
      --require-hashes --only-binary :all: --requirement /requirements.txt && \
    find /opt/venv/lib -depth -type d '(' -name tests -o -name test ')' -exec rm -r {} + && \
    /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib && \
    find /opt/venv -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
COPY app /app/app
# Readable for the image's user, whatever the builder's umask.
RUN chmod -R u=rwX,go=rX /app && \
    /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app && \
    find /app -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

FROM ${PYTHON_IMAGE} AS app
# The base brings pip, and as Python's official image a standard library without bytecode: a read-only root would
# compile it again at each start, and twice the time of a worker's imports would go there (0.48 s for 0.25 s).
# What may be written to is /tmp and /run/celery, by any user: a memory file system mounted there takes the folder's mode.
ARG SOURCE_DATE_EPOCH=0
RUN find /usr -depth '(' -name pip -o -name 'pip[3-]*' -o -name ensurepip -o -name python-wheels -o -name pkg_resources \
      -o -name 'setuptools*' -o -name '*distutils*hack' -o -name distutils-precedence.pth ')' -exec rm -rf {} + && \
    touch /tmp/before && lib=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') && \
    python -m compileall -q --invalidation-mode unchecked-hash \
      -x '/(site-packages|test|tests|idlelib|lib2to3|pydoc_data|tkinter|turtledemo)/' "$lib" && \
    find "$lib" -newer /tmp/before -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} + && rm /tmp/before && \
    echo 'celery:x:10001:10001::/tmp:/usr/sbin/nologin' >>/etc/passwd && echo 'celery:x:10001:' >>/etc/group && \
    chmod 755 /var/tmp /run/lock && install --directory --mode 1777 /run/celery
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    CELERY_HEARTBEAT_DIR=/run/celery
WORKDIR /app
USER 10001:10001
# Needs no broker: says what there is to run. Every component brings its own command.
CMD ["python", "-m", "app.producer", "--list"]

# The same for tasks that must get through such a proxy themselves: --target app-with-extra-ca.
FROM app AS app-with-extra-ca
COPY --from=build /ca.pem /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt

FROM app
