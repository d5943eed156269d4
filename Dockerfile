# surgseg_ros on the official ROS 2 Jazzy image (Ubuntu 24.04). What runs is no root.
#
#   docker build -t surgseg_ros .
#   docker run --rm -it --network host --ipc host surgseg_ros
#   docker run --rm -it --network host --ipc host surgseg_ros surgseg doctor
#
# --ipc host: images go through shared memory, of which a container has only 64 MB by itself. Peers
# that share it have to run as the same user: docker build --build-arg USER_ID=$(id -u) ...
FROM ros:jazzy-ros-base

ENV DEBIAN_FRONTEND=noninteractive
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /ws

# Dependencies first, so that an edited module does not install them again.
COPY package.xml pip_underlay/container.txt src/surgseg_ros/
# hadolint ignore=DL3008  # versions of Debian packages are those of the image's release
RUN apt-get update \
 && rosdep update --rosdistro jazzy \
 && rosdep install --from-paths src -y --ignore-src --rosdistro jazzy \
 && apt-get install -y --no-install-recommends python3-pip libegl1 libgl1-mesa-dri \
 && rm -rf /var/lib/apt/lists/*
# What has no Debian package, with hashes; numpy and OpenCV stay those of Ubuntu.
RUN pip install --no-cache-dir --break-system-packages --require-hashes --no-deps \
  -r src/surgseg_ros/container.txt

COPY . src/surgseg_ros
RUN source /opt/ros/jazzy/setup.bash && colcon build && rm -rf build log

# The image of ROS has a user `ubuntu` of id 1000; /ws stays root's, so that nothing that runs in
# the container can change what runs in it.
ARG USER_ID=1000
RUN useradd --create-home --uid "$USER_ID" --non-unique surgeon
USER $USER_ID
ENV HOME=/home/surgeon
WORKDIR /home/surgeon

ENTRYPOINT ["bash", "-c", "source /ws/install/setup.bash && exec \"$@\"", "--"]
STOPSIGNAL SIGINT
CMD ["ros2", "launch", "surgseg_ros", "stereo_pipeline.launch.py"]
