# One image for every part: web, worker, beat, migrate. Alone it runs the whole product (`manage.py up`).
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=0 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    DATA_DIR=/data \
    HOST=0.0.0.0 \
    PORT=8000 \
    LOCAL_SERVER=off

WORKDIR /app
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin watchkeeper \
    && install -d -o watchkeeper -g watchkeeper -m 0700 /data
# Before the code, so that a change of the code does not install everything again.
COPY requirements.txt ./
RUN pip install --disable-pip-version-check -r requirements.txt
COPY manage.py ./
COPY config ./config
COPY apps ./apps
COPY agent ./agent
COPY templates ./templates
COPY static ./static
RUN python -m compileall -q apps config

USER watchkeeper
VOLUME /data
EXPOSE 8000
# Names the host that the server believes in, whatever ALLOWED_HOSTS says.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import http.client, os; from urllib.parse import urlsplit; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/healthz', headers={'Host': urlsplit(os.environ.get('PUBLIC_URL', '')).hostname or 'localhost'}); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "manage.py", "up"]
