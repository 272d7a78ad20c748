# One image for every role; docker-compose.yml says which command each container runs.
FROM python:3.13-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CALLUS_DATA_DIR=/data
WORKDIR /callus

COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

COPY manage.py ./
COPY ml ml
COPY classifier classifier
COPY portal portal
COPY templates templates
COPY static static

RUN useradd --system --uid 10001 --home-dir /data callus && install -d -o callus -g callus /data
USER callus
VOLUME /data
EXPOSE 8000
CMD ["python", "manage.py", "up", "--bind", "0.0.0.0:8000"]
