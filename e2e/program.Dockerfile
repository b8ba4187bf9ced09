ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY program /usr/local/bin/program
ENTRYPOINT ["/usr/local/bin/program"]
