# The outside world of the example for docker/compose.yaml: mail server, payment gateway and webhook of scripts/sandbox.py.
# An image of its own, so that no mail server comes into the one that goes to production.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
FROM ${PYTHON_IMAGE}
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# As in app.Dockerfile.
ARG EXTRA_CA_CERTS=""
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
COPY requirements/sandbox.txt /requirements.txt
RUN printf %s "$EXTRA_CA_CERTS" | base64 --decode | cat /etc/ssl/certs/ca-certificates.crt - >/tmp/ca.pem && \
    python -m venv /venv && /venv/bin/pip --cert /tmp/ca.pem install --no-cache-dir --require-hashes --only-binary :all: \
      --requirement /requirements.txt && rm /tmp/ca.pem
COPY scripts/sandbox.py /sandbox.py
RUN chmod 644 /sandbox.py
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
CMD ["python", "/sandbox.py", "--host", "0.0.0.0", "--http-port", "8025", "--smtp-port", "1025"]
