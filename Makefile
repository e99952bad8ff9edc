# One-line forwards; the work is in tools/ and CMakePresets.json.
.PHONY: build run demo test check asan tsan fuzz bench chaos lint fmt docs image deb package-test clean install

build: ; @tools/install build && cmake --preset release >/dev/null && ninja -C build/release && ln -sf build/release/milvus-cdc milvus-cdc
run: build ; @./milvus-cdc server
demo: ; @tools/demo
test: ; @tools/test
check: ; @tools/test unit lint
asan tsan: ; @tools/install test && cmake --preset $@ >/dev/null && ninja -C build/$@ && ctest --test-dir build/$@ --output-on-failure
fuzz: ; @tools/install test && cmake --preset fuzz >/dev/null && ninja -C build/fuzz && ctest --test-dir build/fuzz --output-on-failure
bench: build ; @tools/bench
chaos: ; @tools/chaos all
lint: ; @tools/lint
fmt: ; @tools/fmt
docs: ; @tools/docs
image: ; @./build_image.sh
deb: build ; @tools/deb
package-test: build ; @tools/package_test
clean: ; @rm -rf build milvus-cdc
install: ; @tools/install all
