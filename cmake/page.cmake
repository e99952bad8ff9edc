# cdc_page(TARGET): adds the status page, src/server/api/page/status.{html,css,js} put together as one text, to
# TARGET as status_page_text. Run as a script (cmake -DFROM= -DTO= -P) it is the step that does so.
if(CMAKE_SCRIPT_MODE_FILE)
	file(READ ${FROM}/status.html page)
	file(READ ${FROM}/status.css css)
	file(READ ${FROM}/status.js js)
	string(REPLACE "@CSS@" "${css}" page "${page}")
	string(REPLACE "@JS@" "${js}" page "${page}")
	file(WRITE ${TO}.html "${page}")
	file(READ ${TO}.html bytes HEX)
	string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
	file(WRITE ${TO} "#include \"server/api/status_page.h\"\n\nconst char status_page_text[] = {${bytes}0};\n")
	return()
endif()

set(CDC_PAGE_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(cdc_page target)
	set(from ${CMAKE_SOURCE_DIR}/src/server/api/page)
	set(made ${CMAKE_BINARY_DIR}/gen/status_page_text.c)
	add_custom_command(OUTPUT ${made}
		COMMAND ${CMAKE_COMMAND} -DFROM=${from} -DTO=${made} -P ${CDC_PAGE_SCRIPT}
		DEPENDS ${from}/status.html ${from}/status.css ${from}/status.js ${CDC_PAGE_SCRIPT} VERBATIM)
	target_sources(${target} PRIVATE ${made})
endfunction()
