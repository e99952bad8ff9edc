# cdc_proto(NAME): compiles proto/*.proto with protoc-c into one library; headers are included
# as "proto/x.pb-c.h".
function(cdc_proto name)
	find_program(PROTOC_C protoc-c REQUIRED)
	file(GLOB protos CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/proto/*.proto)
	set(gen ${CMAKE_BINARY_DIR}/gen)
	file(MAKE_DIRECTORY ${gen}/proto)
	set(outs)
	foreach(p ${protos})
		get_filename_component(b ${p} NAME_WE)
		add_custom_command(OUTPUT ${gen}/proto/${b}.pb-c.c ${gen}/proto/${b}.pb-c.h
			COMMAND ${PROTOC_C} --c_out=${gen}/proto -I${CMAKE_SOURCE_DIR}/proto ${p}
			DEPENDS ${p} VERBATIM)
		list(APPEND outs ${gen}/proto/${b}.pb-c.c ${gen}/proto/${b}.pb-c.h)
	endforeach()
	add_library(${name} STATIC ${outs})
	target_include_directories(${name} PUBLIC ${gen})
	target_include_directories(${name} PRIVATE ${gen}/proto)
	target_compile_options(${name} PRIVATE -w)
	target_link_libraries(${name} PUBLIC PkgConfig::DEPS)
endfunction()
